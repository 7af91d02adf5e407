//! From raw records to events in the lake.

pub mod attribute;
pub mod client;
pub mod endpoint;
pub mod event;
pub mod geo;
pub mod io;
pub mod lake;
pub mod worker;
