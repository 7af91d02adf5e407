//! Where this crate touches the world: the disk, Kafka, the clock.

pub mod clock;
pub mod durable;
pub mod kafka;
