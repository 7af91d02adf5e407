//! What touches the outside: the object store that holds the lake, and the clock.

mod clock;
mod lake;

pub(crate) use clock::Stopwatch;
pub(crate) use lake::Lake;
pub use lake::LakeError;
