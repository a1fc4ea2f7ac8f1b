//! The seal: what the last evaluation of the whole project found, with all that it had read. While every
//! file is as it was then, the finding stands, and nothing is read, parsed or decided again. Where only texts
//! changed, of documents, of outputs or within tasks, what that may reach is looked at, and all else is as it was
//! (see `part`). In the same way the list of what `meu search` looks through is kept (see `list`).
//!
//! A door (◇). The rest of the house does not know it: commands ask for it before they load a project, and
//! without it, or if anything else is not as it was, they go the whole way. One file, `.meu/seal`, as `sealed`
//! has it; its blobs are:
//!
//! ```text
//! loud   the rows that are not quiet (see `rows`)
//! all    all rows
//! table  who reads what, who comes after whom (see `table`); nothing where no part can be told
//! ```

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

mod keep;
mod list;
mod part;
mod read;
mod rows;
mod sealed;
mod table;
mod tree;

use serde::{Deserialize, Serialize};

use crate::disk::Store;
use crate::run::{Counts, Row};
use sealed::Sealed;

pub use keep::keep;
pub use list::{SearchList, keep_list};
pub use part::Part;

const NAME: &str = "seal";

/// What else meu itself writes that counts: the lock, and in `.meu/` what a run leaves.
const LOCK: &str = "meu.lock";
const JOURNAL: &str = "journal";
const BOOKS: [&str; 2] = [JOURNAL, "failures.json"];

/// Its blobs.
const LOUD: usize = 0;
const ALL: usize = 1;
const TABLE: usize = 2;

/// What was found, in short.
#[derive(Clone, Serialize, Deserialize)]
struct Finding {
    settled: bool,
    passes: bool,
    counts: Counts,
}

/// A finding that still stands, or stands but for what some files may change.
pub struct Seal(Sealed<Finding>);

impl Seal {
    /// The finding of the last evaluation, if all that it read but some files is as it was.
    pub fn read(store: &Store) -> Option<Seal> {
        Sealed::read(store, NAME).map(Seal)
    }

    /// Whether all is as it was.
    pub fn stands(&self) -> bool {
        self.0.changed.is_empty()
    }

    /// Whether there is a seal, standing or not.
    pub fn is_there(store: &Store) -> bool {
        store.meu().join(NAME).is_file()
    }

    fn finding(&self) -> &Finding {
        &self.0.head.finding
    }

    /// Whether a run would do nothing and write nothing, as long as all is as it was.
    pub fn is_settled(&self) -> bool {
        self.finding().settled && self.finding().passes
    }

    /// Whether `status --check` passes.
    pub fn passes_check(&self) -> bool {
        self.finding().passes
    }

    /// How many tasks there are in each state.
    pub fn counts(&self) -> &Counts {
        &self.finding().counts
    }

    /// The rows, quiet ones too if `all`. `None` if the file is damaged, or somebody has written over it since.
    pub fn rows(&self, all: bool) -> Option<Vec<Row>> {
        rows::rows(&self.0.blob(if all { ALL } else { LOUD })?)
    }
}
