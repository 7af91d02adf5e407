//! What touches sockets for the whole role: the clock, the listener for operators, signals and the configuration file.

mod admin;
pub(crate) mod clock;
mod reload;

pub use admin::{Admin, AdminError};
pub use reload::ConfigSource;
pub(crate) use reload::Reloader;
