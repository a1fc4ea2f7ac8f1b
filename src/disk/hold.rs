//! The project lock: one run at a time.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};

use crate::diag::{Error, ErrorKind};

use super::Store;

/// Held while a command changes the project; let go when dropped, or when the process dies.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code)] File);

/// Takes the project lock, or says who has it.
pub fn hold(store: &Store) -> Result<Hold, Error> {
    store.make_meu()?;
    let path = store.meu().join("running");
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|error| {
        let help = "see that it is a file that you may write; while no run is under way it may be removed";
        Error::failed(format!("{} cannot be opened: {error}", path.display())).help(help)
    })?;
    match file.try_lock() {
        Ok(()) => {
            // Only a word for whoever is refused; the lock itself is the system's. Always of one width, written
            // over what was there: a file that is cut off and filled again is sent to the disk at once.
            let _ = file.write_all(format!("{:<10}", std::process::id()).as_bytes());
            Ok(Hold(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            let _ = file.read_to_string(&mut who);
            let who = who.trim_end();
            let who = if who.is_empty() { String::new() } else { format!(" (process {who})") };
            Err(Error::new(ErrorKind::Held, format!("another run holds the project{who}"))
                .help("wait for it to end, or end it"))
        }
        Err(TryLockError::Error(error)) => {
            Err(Error::failed(format!("the project lock {} cannot be taken: {error}", path.display())))
        }
    }
}
