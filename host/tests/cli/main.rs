//! The command line, run as its users run it: arguments and files in, text and
//! exit codes out.

mod check;
mod component;
mod config;
mod coordinator;
mod deliver;
mod enable;
mod home;
mod import;
mod log;
mod outbox;
mod redis;
mod report;
mod security;
mod usage;
