//! From raw records to events in the lake.

pub mod worker;
