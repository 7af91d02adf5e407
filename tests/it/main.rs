//! The whole pipe on real parts, driven through the `whopulls` binary.

mod command_line;
mod counting;
mod dead_letters;
mod demo;
mod endpoint_key;
mod explain;
mod follow;
mod forget;
mod geo_update;
mod import;
mod interchange;
mod kafka_pipe;
mod kills;
mod object_store;
mod past;
mod reverse_dns;
mod support;
mod takeover;
