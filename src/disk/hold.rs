//! The project lock: one run at a time.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};

use crate::diag::{Error, ErrorKind};

use super::Store;

/// Held while a command changes the project; let go when dropped, or when the process dies.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code)] File);

/// A `.meu/` that came with the repository could bring answers that nobody gave.
fn refuse_tracked(store: &Store) -> Result<(), Error> {
    let Some(git) = store.root().ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())
    else {
        return Ok(());
    };
    // Asking git takes milliseconds; most indexes do not name such a folder at all.
    let named =
        std::fs::read(git.join("index")).is_ok_and(|index| index.windows(4).any(|window| window == b"meu/"));
    if (named || git.is_file()) && super::is_tracked(store.root(), ".meu") {
        return Err(Error::invalid("`.meu/` is tracked by git, and it must never come with a repository")
            .help("`git rm -r --cached .meu`, and add `.meu/` to .gitignore"));
    }
    Ok(())
}

/// Takes the project lock, or says who has it.
pub fn hold(store: &Store) -> Result<Hold, Error> {
    refuse_tracked(store)?;
    store.make_meu()?;
    let path = store.meu().join("running");
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file =
        opened.map_err(|error| Error::failed(format!("{} cannot be opened: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {
            // Only a word for whoever is refused; the lock itself is the system's.
            let _ = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            Ok(Hold(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            let _ = file.read_to_string(&mut who);
            let who = if who.is_empty() { String::new() } else { format!(" (process {who})") };
            Err(Error::new(ErrorKind::Held, format!("another run holds the project{who}"))
                .help("wait for it to end, or end it"))
        }
        Err(TryLockError::Error(error)) => {
            Err(Error::failed(format!("the project lock {} cannot be taken: {error}", path.display())))
        }
    }
}
