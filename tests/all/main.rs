//! The binary end to end, and the laws as properties. One binary, so that it is linked once.

mod bad_input;
mod commands;
mod crash;
mod edits;
mod examples;
mod house;
mod laws;
mod network;
mod staleness;
