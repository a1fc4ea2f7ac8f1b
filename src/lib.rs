//! `meu`: a build system for documents that language models write.
//!
//! A plan is TOML files; each task's context is put together from its neighbours, the exact request is
//! hashed, and only the tasks whose request changed are asked for, in dependency order. The library is
//! the binary's inside: data walks through rooms in the order in which they stand here, and a room
//! never looks back up. Doors (◇) touch the world; all other rooms are pure.
//!
//! - [`cores`]: the same work for many things, on all cores
//! - [`digest`]: BLAKE3 and the framing rule, words for all
//! - [`diag`]: a place, a message, a way out; many at once
//! - [`path`]: paths inside the project
//! - [`spec`]: text to project: tasks, links, policy
//! - [`graph`]: project to graph: resolution, circles, order, levels, selectors
//! - [`text`]: tokens, sections of Markdown, sentences
//! - [`context`]: graph and shelf to bundle: gather, shorten, budget
//! - [`request`]: bundle to request, the bytes; and its parts to reasons
//! - [`lock`]: records: text to lock and back
//! - [`plan`]: fresh, stale, waiting, edited …: the one place that decides
//! - [`model`]: request to answer; the offline drafter
//! - [`author`]: what a model or a file proposes as a plan: sketch to task files, merged with what is there
//! - [`event`]: what happened, as data
//! - [`disk`] ◇: files: load, stat cache, atomic write, journal, cache, run records, project lock
//! - [`provider`] ◇: HTTP APIs and programs
//! - [`run`]: the executor: ready, plan, ask, journal, write, record
//! - [`index`]: graph to INDEX.md's region
//! - [`seal`] ◇: the last finding, which stands while all that it was found from is as it was
//! - [`show`] ◇: events, states, diagnostics to terminal and JSON
//! - [`watch`] ◇: waiting until one of these paths changes
//! - [`cli`]: one file a command: arguments and wiring, no logic

pub mod cores;

pub mod digest;

pub mod diag;

pub mod path;

pub mod spec;

pub mod graph;

pub mod text;

pub mod context;

pub mod request;

pub mod lock;

pub mod plan;

pub mod model;

pub mod author;

pub mod event;

pub mod disk;

pub mod provider;

pub mod run;

pub mod index;

pub mod seal;

pub mod show;

#[cfg(feature = "watch")]
pub mod watch;

pub mod cli;
