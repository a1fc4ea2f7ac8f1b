//! Files: load, stat cache, atomic write, journal, cache, run records, project lock, git, trust.
//!
//! A door (◇): with `provider`, `show`, `watch` and `serve` the only rooms that touch the world. Every
//! path goes through [`Store`], which keeps it inside the project.

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

mod cache;
mod check;
mod clock;
mod corpus;
mod gc;
mod git;
mod history;
mod hold;
mod interrupt;
mod journal;
mod load;
mod lock_file;
mod part;
mod proposals;
mod records;
mod reload;
mod shelf;
mod stamp;
mod state;
mod trust;
mod usage;
mod write;

pub use cache::{Cache, Claim, SentItem, Stored, sent_items};
pub use clock::{Began, Moment, ago, now, now_in_nanoseconds, run_name};
pub use corpus::SEARCHED;
pub use gc::{Garbage, all_of_meu, garbage, size_of_meu};
pub use git::{
    blob, changed_since, committed_at, difftool, file_at, index_of_repository, make_repository, not_taken,
    open_editor, repository, tracks_meu, version_of_git, who,
};
pub use history::{KeptRun, RunSums, kept_run, kept_runs, run_events};
pub use hold::{Hold, hold};
pub use interrupt::{interrupted, on_interrupt};
pub use journal::{Entry, Journal, Replay, replay};
pub use load::{
    Listed, Overlay, SETTINGS, Workspace, find_project, has_text, load, load_config, load_or_empty,
    load_over, read_optional, task_ids,
};
pub use lock_file::{LockFile, Recorded};
pub use part::{Wanted, load_part, read_tasks_in};
pub use proposals::{About, Begun, Proposal, Proposals, Staged};
pub use records::{RunLog, read_failures, write_failures};
pub use reload::{Loader, reload};
pub use shelf::DiskShelf;
pub use stamp::{RACY, Stat, identity, nanoseconds};
pub use state::Recalled;
pub use trust::{Permits, Trust, trust_everything};
pub use usage::{Counted, Usage};
pub use write::{Durability, Scratch, Store, is_changed};

use std::path::PathBuf;

/// Fewer files than this are not worth a thread.
const FILES_WORTH_A_THREAD: usize = 64;

/// The current folder.
pub fn current_folder() -> Result<PathBuf, crate::diag::Error> {
    std::env::current_dir()
        .map_err(|error| crate::diag::Error::invalid(format!("the current folder cannot be read: {error}")))
}

/// Makes a folder and those above it.
pub fn make_folder(folder: &std::path::Path) -> Result<(), crate::diag::Error> {
    std::fs::create_dir_all(folder).map_err(|error| {
        crate::diag::Error::failed(format!("the folder {} cannot be made: {error}", folder.display()))
    })
}

/// Adds to a file that is not the project's.
pub fn append(path: &std::path::Path, text: &str) -> Result<(), crate::diag::Error> {
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::options().append(true).create(true).open(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    write()
        .map_err(|error| crate::diag::Error::failed(format!("{} cannot be written: {error}", path.display())))
}

/// The processor and the system that this binary is for.
pub fn machine() -> (&'static str, &'static str) {
    (std::env::consts::ARCH, std::env::consts::OS)
}

/// The words of the command line.
pub fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

/// A variable of the environment.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
