//! Where this crate touches the world: the disk, Kafka, the clock, the environment.

pub mod clock;
pub mod durable;
pub mod environment;
pub mod kafka;
