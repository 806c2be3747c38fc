//! The program as users and platforms run it: its own environment, signals, exit codes and log lines.

mod cache;
mod check_url;
mod clients;
mod commands;
mod log;
mod serving;
mod traces;
