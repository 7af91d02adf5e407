//! The worker: records of a source in, committed events out, each once.

pub mod source;
