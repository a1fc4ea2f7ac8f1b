//! The binary end to end, and the laws as properties. One binary, so that it is linked once.

// Tests play the person and the world outside.
#![allow(clippy::disallowed_methods)]

mod bad_input;
mod ci;
mod commands;
mod contexts;
mod crash;
mod docs;
mod edits;
mod examples;
mod expect;
mod house;
mod json;
mod laws;
mod list;
mod network;
mod plans;
mod providers;
mod records;
mod refactor;
mod retrieval;
mod schema;
mod seal;
mod secrets;
mod server;
mod staleness;
mod telemetry;
mod terminal;
mod watch;
mod words;
