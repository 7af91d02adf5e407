//! What a client meets: a gateway over HTTPS, behind it a registry that wants a token and sends everybody to a storage for
//! layers. Between client and gateway stands a relay, which counts what passes on the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use whopulls_schemas::raw::RawAccess;

use crate::authority::Authority;
use crate::images::Images;
use crate::registry::{Registry, TokenServer};
use crate::storage::Storage;
use crate::support::Running;

/// The public name of what lies in the registry as `up/app`: a client that asked the registry itself would find nothing.
pub(crate) const REPOSITORY: &str = "acme/app";

pub(crate) struct Stage {
    dir: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) images: Images,
    storage: Storage,
    registry: Registry,
    tokens: TokenServer,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::start_with(async |_registry, _images| {}).await
    }

    /// `push` adds to what lies in the registry.
    pub(crate) async fn start_with(push: impl AsyncFnOnce(&Registry, &mut Images)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::make(dir.path());
        let open = Registry::start(dir.path(), None);
        let mut images = Images::push(&open, "up/app").await;
        push(&open, &mut images).await;
        drop(open);
        let storage = Storage::start(dir.path().join("storage"), &authority).await;
        let tokens = TokenServer::start(dir.path()).await;
        let registry = Registry::start_with(dir.path(), Some(&tokens), &redirecting(&storage));
        Self { dir, authority, images, storage, registry, tokens }
    }

    pub(crate) fn scratch(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.dir.path()).expect("a temporary directory")
    }

    /// A gateway for one pull: nothing that it has cached comes from another.
    pub(crate) async fn visit(&self) -> Visit {
        let upstream = self.registry.url("");
        let route = format!(
            "[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image...}}\"\nupstream = \"{upstream}\"\nname = \"up/{{image}}\"\n"
        );
        let gateway = Running::start("", &route).await;
        let relay = Relay::start(gateway.address, Some(self.authority.acceptor())).await;
        Visit { gateway, relay, storage_before: self.storage.sent(), given_before: self.given() }
    }

    fn given(&self) -> usize {
        self.tokens.given.load(Ordering::SeqCst)
    }

    /// Ends the visit of a client that is done.
    pub(crate) async fn leave(&self, visit: Visit) -> Seen {
        let Visit { mut gateway, relay, storage_before, given_before } = visit;
        assert!(self.given() > given_before, "the registry wanted no token");
        let records = gateway.records();
        gateway.stop().await;
        Seen {
            records,
            wire_bytes: relay.passed.load(Ordering::SeqCst),
            storage_bytes: self.storage.sent() - storage_before,
        }
    }
}

/// What a registry's configuration says to send everybody to `storage` for blobs.
pub(crate) fn redirecting(storage: &Storage) -> String {
    format!("middleware: {{storage: [{{name: redirect, options: {{baseurl: '{}'}}}}]}}\n", storage.url())
}

/// A gateway, and the way to it.
pub(crate) struct Visit {
    gateway: Running,
    relay: Relay,
    storage_before: u64,
    given_before: usize,
}

impl Visit {
    /// The registry as clients call it.
    pub(crate) fn host(&self) -> String {
        self.relay.host()
    }
}

/// What a pull left behind.
pub(crate) struct Seen {
    pub(crate) records: Vec<RawAccess>,
    /// What passed between client and gateway, handshakes and requests included.
    pub(crate) wire_bytes: u64,
    /// What the storage sent.
    pub(crate) storage_bytes: u64,
}

pub(crate) struct Relay {
    address: SocketAddr,
    passed: Arc<AtomicU64>,
}

impl Relay {
    pub(crate) async fn start(target: SocketAddr, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let passed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&passed);
        tokio::spawn(async move {
            while let Ok((near, _peer)) = listener.accept().await {
                let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    let Some(acceptor) = acceptor else { return };
                    let Ok(mut near) = acceptor.accept(near).await else { return };
                    if let Ok((up, down)) = copy_bidirectional(&mut near, &mut far).await {
                        counter.fetch_add(up + down, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, passed }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }
}
