//! One listener for each thread, on one address: the kernel spreads connections over them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that wait to be accepted, for each listener: what a second of a busy gateway's new clients may be.
const BACKLOG: i32 = 1024;

/// Listens `count` times on `address`. An address that anybody listens on already is refused, although the sockets share one.
pub(super) fn listen(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let shared = count > 1;
    if shared {
        // Sockets that share an address would share it with another process too, and each of the two would get half of the clients.
        // A socket that does not share is refused then. It never listens, so it stands in nobody's way.
        drop(bound(address, false)?);
    }
    let first = bound(address, shared)?;
    // With port 0 the first one's port is everybody's.
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bound(address, shared)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 clients too, whatever the machine's default is.
        socket.set_only_v6(false)?;
    }
    // Connections of an earlier process that still end do not keep the address; a listener does.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}
