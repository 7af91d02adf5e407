//! What a client meets: a gateway over HTTPS, behind it a registry that wants a token and sends everybody to a storage for
//! layers. Between client and gateway stands a relay, which counts what passes on the wire.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use whopulls_schemas::raw::{Kind, RawAccess};

use crate::authority::Authority;
use crate::images::Images;
use crate::registry::{Registry, TokenServer};
use crate::secure::Secure;
use crate::storage::Storage;
use crate::support::{program, until};

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
        let program = program("docker-registry");
        let registry = Registry::start_program(&program, dir.path(), Some(&tokens), &redirecting(&storage));
        Self { dir, authority, images, storage, registry, tokens }
    }

    pub(crate) fn scratch(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.dir.path()).expect("a temporary directory")
    }

    /// The folder of the storage, for files that no registry put there.
    pub(crate) fn files(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    pub(crate) fn storage_url(&self) -> String {
        self.storage.url()
    }

    /// A gateway for one pull: nothing that it has cached comes from another.
    pub(crate) async fn visit(&self) -> Visit {
        let (registry, storage, ca) = (self.registry.url(""), self.storage.url(), self.authority.ca.display());
        let mut rules = format!(
            "[[upstream]]\nid = \"packages\"\nurl = \"{storage}\"\nca_file = \"{ca}\"\n\
             [[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image...}}\"\nupstream = \"{registry}\"\nname = \"up/{{image}}\"\n\
             [[route]]\nid = \"files\"\nkind = \"file\"\nmatch = \"/files/{{version}}/{{package}}\"\nto = \"{storage}/files/{{version}}/{{package}}\"\n"
        );
        for kind in ["helm", "pypi", "npm"] {
            write!(
                rules,
                "[[route]]\nid = \"{kind}\"\nkind = \"{kind}\"\nprefix = \"/{kind}\"\nupstream = \"packages\"\n"
            )
            .expect("text grows");
        }
        let data = self.scratch();
        let gateway = start_gateway(data.path(), &self.authority, &rules).await;
        let relay = Relay::start(gateway.tls_address()).await;
        Visit { gateway, data, relay, storage_before: self.storage.sent(), given_before: self.given() }
    }

    fn given(&self) -> usize {
        self.tokens.given.load(Ordering::SeqCst)
    }

    /// Ends the visit of a client that is done.
    pub(crate) async fn leave(&self, visit: Visit) -> Seen {
        let Visit { mut gateway, data, relay, storage_before, given_before } = visit;
        until("the client hangs up", async || relay.open.load(Ordering::SeqCst) == 0).await;
        let records = gateway.records();
        let asked_registry = records.iter().any(|record| record.kind == Kind::Oci);
        assert!(self.given() > given_before || !asked_registry, "the registry wanted no token");
        assert!(records.iter().all(|record| record.tls), "a request came without TLS");
        gateway.stop().await;
        drop(data);
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

/// A gateway that listens with TLS and without.
pub(crate) async fn start_gateway(data: &Path, authority: &Authority, rules: &str) -> Secure {
    let (certificate, key) = (authority.certificate.display(), authority.key.display());
    let certificates = format!("[[tls.certificates]]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n");
    // The token server, like all else here, is on the loopback, which an upstream may not lead to by itself.
    let listen = "listen = \"127.0.0.1:0\"\ntls_listen = \"127.0.0.1:0\"\nupstream_networks = [\"127.0.0.0/8\"]";
    Secure::start(data, listen, &format!("{certificates}{rules}")).await
}

/// A gateway, and the way to it.
pub(crate) struct Visit {
    gateway: Secure,
    data: tempfile::TempDir,
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
    /// Bytes, of the connections that have ended.
    passed: Arc<AtomicU64>,
    /// Connections that have not.
    open: Arc<AtomicUsize>,
}

impl Relay {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (passed, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&passed), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((mut near, _peer)) = listener.accept().await {
                let (passed, open) = counters.clone();
                open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.expect("the gateway listens");
                    if let Ok((up, down)) = copy_bidirectional(&mut near, &mut far).await {
                        passed.fetch_add(up + down, Ordering::SeqCst);
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, passed, open }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }
}
