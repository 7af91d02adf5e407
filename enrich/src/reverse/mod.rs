//! Reverse DNS, for an operator who wants it: `nat1.acme.example`, which leads back to the address, is evidence of Acme; a provider's pool is not.
//!
//! What a name says is decided without IO ([`customer_domain`]); [`ReverseNames`] asks, bounded in number, rate and time, and remembers.

mod domain;
mod io;
mod pace;

pub use domain::{customer_domain, kind_by_suffix};
pub use io::{OutcomeLabels, ReverseError, ReverseMetrics, ReverseNames, ReverseOptions};
