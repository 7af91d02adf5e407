//! A TCP proxy that misbehaves. It knows of HTTP that a request without body ends with an empty line.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::schedule::Fault;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// What is read at once; larger than any answer here, so that one read is mostly one answer.
const BUFFER_BYTES: usize = 64 << 10;

/// Stands in front of a registry, which may come back at another address.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: Mutex<SocketAddr>,
    fault: watch::Sender<Fault>,
}

impl FaultProxy {
    pub(crate) async fn start(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { behind: Mutex::new(behind), fault: watch::Sender::new(Fault::Quiet) });
        tokio::spawn(accept(listener, address, Arc::clone(&shared)));
        Self { address, shared }
    }

    pub(crate) fn set_behind(&self, behind: SocketAddr) {
        *self.shared.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind;
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }
}

async fn accept(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut fault = shared.fault.subscribe();
    loop {
        if *fault.borrow_and_update() == Fault::Refuse {
            drop(listener);
            // The port stays ours, and whoever connects to it is refused: nobody listens.
            let socket = bound(address).await;
            fault.wait_for(|fault| *fault != Fault::Refuse).await.expect("the proxy is there");
            listener = socket.listen(BACKLOG).expect("the port is ours");
        }
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _peer)) = accepted {
                    tokio::spawn(serve(client, Arc::clone(&shared)));
                }
            }
            changed = fault.changed() => changed.expect("the proxy is there"),
        }
    }
}

async fn bound(address: SocketAddr) -> TcpSocket {
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket's option");
        match socket.bind(address) {
            Ok(()) => return socket,
            // A connection of the listener that has just gone.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// What becomes of a connection.
enum Next {
    GoOn,
    Close,
    Reset,
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut upstream: Option<TcpStream> = None;
    let (mut request, mut from_client, mut from_upstream) = (Vec::new(), vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let next = tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(0) | Err(_) => Next::Close,
                Ok(bytes) => {
                    request.extend_from_slice(&from_client[..bytes]);
                    if request.ends_with(b"\r\n\r\n") {
                        let whole = std::mem::take(&mut request);
                        asked(&mut client, &mut upstream, &whole, &shared).await
                    } else {
                        Next::GoOn
                    }
                }
            },
            read = read_from(upstream.as_mut(), &mut from_upstream) => match read {
                0 => Next::Close,
                bytes => {
                    let fault = *shared.fault.borrow();
                    answered(&mut client, &from_upstream[..bytes], fault).await
                }
            },
        };
        match next {
            Next::GoOn => {}
            Next::Close => return,
            Next::Reset => {
                client.set_zero_linger().expect("a socket's option");
                return;
            }
        }
    }
}

async fn read_from(upstream: Option<&mut TcpStream>, buffer: &mut [u8]) -> usize {
    match upstream {
        Some(upstream) => upstream.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

async fn asked(client: &mut TcpStream, upstream: &mut Option<TcpStream>, request: &[u8], shared: &Shared) -> Next {
    let mut changes = shared.fault.subscribe();
    let fault = *changes.borrow_and_update();
    match fault {
        Fault::Status(status) => {
            let answer = format!("HTTP/1.1 {status} Disturbed\r\ncontent-length: 0\r\n\r\n");
            return if client.write_all(answer.as_bytes()).await.is_ok() { Next::GoOn } else { Next::Close };
        }
        Fault::ResetBeforeHead | Fault::Refuse => return Next::Reset,
        Fault::Swallow => {
            // A client that goes away is noticed when the fault ends.
            changes.wait_for(|fault| *fault != Fault::Swallow).await.expect("the proxy is there");
            return Next::Reset;
        }
        Fault::Slow(later) => tokio::time::sleep(later).await,
        Fault::Quiet | Fault::ResetWithin | Fault::Killed | Fault::SecondKilled => {}
    }
    if upstream.is_none() {
        let behind = *shared.behind.lock().unwrap_or_else(PoisonError::into_inner);
        *upstream = TcpStream::connect(behind).await.ok();
    }
    let Some(upstream) = upstream else { return Next::Reset };
    if upstream.write_all(request).await.is_ok() { Next::GoOn } else { Next::Reset }
}

async fn answered(client: &mut TcpStream, bytes: &[u8], fault: Fault) -> Next {
    let cut = fault == Fault::ResetWithin;
    // Two thirds are more than the head, as long as there is a body at all.
    let sent = if cut { &bytes[..bytes.len() * 2 / 3] } else { bytes };
    if client.write_all(sent).await.is_err() {
        return Next::Close;
    }
    if cut { Next::Reset } else { Next::GoOn }
}
