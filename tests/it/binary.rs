//! The program itself, as people and platforms run it: an environment of its own, signals, exit codes, lines.

mod cache;
mod check_url;
mod clients;
mod commands;
mod log;
mod serving;
mod traces;
