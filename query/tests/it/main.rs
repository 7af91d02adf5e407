//! Questions against real Delta tables in temporary folders.

mod answers;
mod compose;
mod guard;
mod http;
mod lake;
mod scan;
