//! What touches sockets for the whole role: the clock and the listener for operators.

mod admin;
pub(crate) mod clock;

pub use admin::{Admin, AdminError};
