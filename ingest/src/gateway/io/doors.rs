//! The addresses that the gateway listens on, and the listeners of each thread.

use std::net::{SocketAddr, TcpListener};

use super::listen::listen;
use super::server::GatewayError;

/// A listener, and whether TLS is spoken behind it.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) tls: bool,
}

/// Listens on the address, once for each thread; gives the address with its port.
pub(super) fn open_doors(
    threads: &mut [Vec<Door>],
    address: Option<SocketAddr>,
    tls: bool,
) -> Result<Option<SocketAddr>, GatewayError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| GatewayError::Listen { address, source };
    let listeners = listen(address, threads.len()).map_err(failed)?;
    let bound = listeners.first().map_or(Ok(address), TcpListener::local_addr).map_err(failed)?;
    for (doors, listener) in threads.iter_mut().zip(listeners) {
        doors.push(Door { listener, tls });
    }
    Ok(Some(bound))
}
