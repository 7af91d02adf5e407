//! From an accepted socket to a connection that HTTP can be spoken on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use whopulls_schemas::config::{GatewayConfig, Trust};
use whopulls_schemas::raw::ClientIpSource;

use super::super::super::client_address::Peer;
use super::super::super::proxy_header::{PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyHeaderFault};
use super::super::activity::Activity;
use super::certificates::{ACME_TLS, Certificates};
use super::transport::{Marked, Transport};

/// Does what comes before HTTP. One for all listeners.
#[derive(Clone)]
pub(in crate::gateway::io) struct Acceptor {
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Acceptor").field("tls", &self.tls.is_some()).finish()
    }
}

/// A connection ready for HTTP.
#[derive(Debug)]
pub(in crate::gateway::io) struct Accepted {
    pub(in crate::gateway::io) io: Transport,
    pub(in crate::gateway::io) peer: Peer,
    pub(in crate::gateway::io) activity: Arc<Activity>,
}

/// Why a connection was closed before HTTP. Its words name no address.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway::io) enum Refusal {
    #[error("the PROXY header was not read")]
    ProxyHeader(#[source] io::Error),
    #[error("the PROXY header was refused")]
    ProxyHeaderFault(#[from] ProxyHeaderFault),
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the client said too little in `gateway.header_timeout_s`")]
    Timeout,
    /// An authority looked at our answer to its challenge; that is all it came for.
    #[error("an ACME authority looked at a challenge's answer")]
    Challenge,
    #[error("TLS was asked for, but is not configured")]
    NoTls,
}

impl Refusal {
    /// The metric's label; none for what is no fault.
    pub(in crate::gateway::io) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::ProxyHeader(_) | Self::ProxyHeaderFault(_) => Some("proxy_header"),
            Self::Handshake(_) | Self::NoTls => Some("tls_handshake"),
            Self::Timeout => Some("handshake_timeout"),
            Self::Challenge => None,
        }
    }
}

impl Acceptor {
    pub(super) fn new(certificates: Option<&Certificates>) -> Self {
        Self { tls: certificates.map(|certificates| TlsAcceptor::from(certificates.server_config())) }
    }

    /// Reads the PROXY header where one is due, and shakes hands where TLS is. Both together within `gateway.header_timeout_s`.
    pub(in crate::gateway::io) async fn accept(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        tls: bool,
        config: &GatewayConfig,
    ) -> Result<Accepted, Refusal> {
        let mut peer = Peer::plain(address.ip().to_canonical());
        let proxied = config.proxy_protocol && is_trusted(&config.trust, &peer);
        let activity = Arc::new(Activity::default());
        if !proxied && !tls {
            return Ok(Accepted { io: Transport::Plain(Marked::new(stream, Arc::clone(&activity))), peer, activity });
        }
        let opening = async {
            let mut stream = stream;
            if proxied && let Some(client) = read_proxy_header(&mut stream).await? {
                peer.address = client;
                peer.source = ClientIpSource::ProxyProtocol;
            }
            let marked = Marked::new(stream, Arc::clone(&activity));
            if !tls {
                return Ok(Transport::Plain(marked));
            }
            peer.tls = true;
            let acceptor = self.tls.as_ref().ok_or(Refusal::NoTls)?;
            let stream = acceptor.accept(marked).await.map_err(Refusal::Handshake)?;
            let is_challenge = stream.get_ref().1.alpn_protocol() == Some(ACME_TLS);
            if is_challenge { Err(Refusal::Challenge) } else { Ok(Transport::Tls(Box::new(stream))) }
        };
        let opened = tokio::time::timeout(Duration::from_secs(config.header_timeout_s), opening).await;
        let io = opened.map_err(|_elapsed| Refusal::Timeout)??;
        Ok(Accepted { io, peer, activity })
    }
}

/// Only a balancer's own connections begin with a header: from others it would be a client's word about itself.
fn is_trusted(trust: &Trust, peer: &Peer) -> bool {
    match trust {
        Trust::Networks(networks) => networks.iter().any(|network| network.contains(&peer.address)),
        Trust::Socket | Trust::Hops(_) => false,
    }
}

/// Reads the header and not a byte more: what follows is TLS's or HTTP's.
async fn read_proxy_header(stream: &mut TcpStream) -> Result<Option<std::net::IpAddr>, Refusal> {
    let mut header = Vec::with_capacity(64);
    loop {
        let more = match ProxyHeader::decode(&header)? {
            ProxyHeader::Whole { client, .. } => return Ok(client),
            // The shortest text is shorter than the shortest binary, so the first read must not want all of that.
            ProxyHeader::Wants(_) if header.is_empty() => FIRST_BYTES,
            ProxyHeader::Wants(more) => more,
            ProxyHeader::WantsLine(most) => to_the_lines_end(stream, most).await.map_err(Refusal::ProxyHeader)?,
        };
        let read = header.len();
        if read + more > PROXY_HEADER_BYTES_MAX {
            return Err(ProxyHeaderFault::TooLong.into());
        }
        header.resize(read + more, 0);
        let place = header.get_mut(read..).unwrap_or_default();
        stream.read_exact(place).await.map_err(Refusal::ProxyHeader)?;
    }
}

/// Both versions are at least this long.
const FIRST_BYTES: usize = 12;

/// How many of the bytes that are here belong to the line: looked at, not taken.
async fn to_the_lines_end(stream: &TcpStream, most: usize) -> io::Result<usize> {
    let mut bytes = [0; 128];
    let place = bytes.get_mut(..most).unwrap_or_default();
    let seen = stream.peek(place).await?;
    if seen == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let end = place.get(..seen).and_then(|seen| seen.iter().position(|byte| *byte == b'\n'));
    Ok(end.map_or(seen, |end| end + 1))
}
