//! The executor: ready, plan, ask, journal, write, record.
//!
//! One thread decides and writes; workers only ask. A task's steps:
//!
//! 1. ready: all that orders it has ended;
//! 2. [`plan`](crate::plan) decides from today's request, the record and the text on disk;
//! 3. if an answer is needed and none is stored, a worker asks and puts the answer into the journal;
//! 4. [`settle`] writes the output whole, or merges it into an edited one;
//! 5. the record goes into the journal before the write and, at the end, with all others into the lock.

mod ask;
mod execute;
mod foresee;
mod land;
mod merge;
mod orphans;
mod person;
mod prepare;
mod propose;
mod queue;
mod rename;
mod report;
mod rows;
mod secrets;
mod settle;
mod survey;
mod task;
mod trace;

pub use execute::{Options, Ran, run};
pub use foresee::{Would, WouldRun, would_run};
pub use land::{Landed, Landing, land, landing};
pub use merge::{Merged, merge};
pub use orphans::{Fate, Orphan, remove_orphans};
pub use person::{Texts, adopt, adopt_discarding, approve, restore, texts_of};
pub use prepare::prepare;
pub use propose::{Planner, Reach, told};
pub use rename::{carry_out, edit_tasks};
pub use report::{Happened, ItemChange, Line, Report, Took, item_changes, report};
pub use rows::{Counts, Row, rows};
pub use survey::{Look, Survey};
pub use trace::trace;
