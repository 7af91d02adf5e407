//! `[gateway]`, and what stands beside it: `[tls]`, `[cache]`, `[privacy]`, `[[organization]]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use url::Url;

use super::read::{self, Fault, Read, Section};

/// `[gateway]`. At least one of `listen` and `tls_listen` is there: no default, since it opens a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where clients come in without TLS.
    pub listen: Option<SocketAddr>,
    /// Where clients come in with TLS; the certificates are those of `[tls]`.
    pub tls_listen: Option<SocketAddr>,
    /// Where health and metrics are answered; absent: nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// What is written into documents as the gateway's own address. Absent: what the client asked for.
    pub public_url: Option<Url>,
    /// Whose `X-Forwarded-For` is believed.
    pub trust: Trust,
    /// Connections from `trusted_proxies` begin with a PROXY header, version 1 or 2.
    pub proxy_protocol: bool,
    /// The query parameters that enter a record.
    pub query_keys: Vec<String>,
    /// Threads that answer. Absent: one for each core.
    pub threads: Option<usize>,
    /// The most connections at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take to send a request head, in seconds.
    pub header_timeout_s: u64,
    /// How long a client may stand still while it is sent an answer or sends a body, in seconds.
    pub stall_timeout_s: u64,
    /// How long an upstream may take to answer, in seconds, where its own section does not say.
    pub upstream_timeout_s: u64,
    /// Private, loopback and link-local networks that a token service or a redirect of an upstream may lead to. The upstreams
    /// that are named in the configuration are allowed by being named.
    pub upstream_networks: Vec<IpNet>,
    /// How long a stop goes on as before while `/readyz` already says no, in seconds, so that a balancer looks elsewhere first.
    pub drain_delay_s: u64,
    /// How long a stop then waits for requests under way, in seconds.
    pub drain_timeout_s: u64,
    /// The file of the key that signs the gateway's own tokens; made at the first start. Absent: `gateway.key` in the data
    /// folder. Gateways of one host name share it.
    pub key_file: Option<PathBuf>,
}

impl GatewayConfig {
    /// The defaults, listening on one address without TLS.
    pub fn on(listen: SocketAddr) -> Self {
        Self {
            listen: Some(listen),
            tls_listen: None,
            admin_listen: None,
            public_url: None,
            trust: Trust::Socket,
            proxy_protocol: false,
            query_keys: Vec::new(),
            threads: None,
            connections_max: 10_000,
            header_timeout_s: 10,
            stall_timeout_s: 60,
            upstream_timeout_s: 30,
            upstream_networks: Vec::new(),
            drain_delay_s: 0,
            drain_timeout_s: 20,
            key_file: None,
        }
    }
}

/// Whose word on the client's address is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody's: the peer of the connection is the client.
    #[default]
    Socket,
    /// `X-Forwarded-For` from peers in these networks; from the right, the first address outside them is the client.
    Networks(Vec<IpNet>),
    /// `X-Forwarded-For` from every peer, with this many proxies of ours in front: the client is that many from the right.
    Hops(usize),
}

pub(super) fn gateway(mut section: Section<'_, '_>) -> GatewayConfig {
    let listens = section.has("listen") || section.has("tls_listen");
    let listen = section.optional("listen", read::socket);
    let tls_listen = section.optional("tls_listen", read::socket);
    let defaults = GatewayConfig::on(SocketAddr::from(([127, 0, 0, 1], 0)));
    let seconds = |section: &mut Section<'_, '_>, key, range, default| {
        section.optional(key, read::number(range)).unwrap_or(default)
    };
    let trust = trust(&mut section);
    let config = GatewayConfig {
        listen,
        tls_listen,
        admin_listen: section.optional("admin_listen", read::socket),
        public_url: section.optional("public_url", read::http_url),
        proxy_protocol: section.optional("proxy_protocol", read::flag).unwrap_or(false),
        query_keys: section.optional("query_keys", read::texts).unwrap_or_default(),
        threads: section.optional("threads", read::count(1..=1024)),
        connections_max: section
            .optional("connections_max", read::count(1..=1_000_000))
            .unwrap_or(defaults.connections_max),
        header_timeout_s: seconds(&mut section, "header_timeout_s", 1..=600, defaults.header_timeout_s),
        stall_timeout_s: seconds(&mut section, "stall_timeout_s", 1..=3600, defaults.stall_timeout_s),
        upstream_timeout_s: seconds(&mut section, "upstream_timeout_s", 1..=600, defaults.upstream_timeout_s),
        upstream_networks: section.optional("upstream_networks", read::networks).unwrap_or_default(),
        drain_delay_s: seconds(&mut section, "drain_delay_s", 0..=600, defaults.drain_delay_s),
        drain_timeout_s: seconds(&mut section, "drain_timeout_s", 0..=3600, defaults.drain_timeout_s),
        key_file: section.optional("key_file", read::path),
        trust,
    };
    if !listens {
        section.complain(
            "`gateway.listen` is missing".to_owned(),
            "as \"127.0.0.1:8080\" or \"[::]:8080\", or `tls_listen`",
        );
    }
    if config.proxy_protocol && !matches!(config.trust, Trust::Networks(_)) {
        let message = "`gateway.proxy_protocol` needs `gateway.trusted_proxies`";
        section.complain(message.to_owned(), "name the networks of the balancers that send the PROXY header");
    }
    section.finish();
    config
}

fn trust(section: &mut Section<'_, '_>) -> Trust {
    let networks = section.optional("trusted_proxies", read::networks);
    let hops = section.optional("trusted_hops", read::count(1..=16));
    match (networks, hops) {
        (Some(_), Some(_)) => {
            let message = "`gateway.trusted_proxies` and `gateway.trusted_hops` exclude each other";
            section.complain(message.to_owned(), "networks are the safer choice");
            Trust::Socket
        }
        (Some(networks), None) => Trust::Networks(networks),
        (None, Some(hops)) => Trust::Hops(hops),
        (None, None) => Trust::Socket,
    }
}

/// `[tls]`: where `gateway.tls_listen` has its certificates from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Files, read again when they change. The first one serves clients that name no host, or an unknown one.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates by ACME.
    pub acme: Option<AcmeConfig>,
}

/// A certificate with its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, its chain behind it.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// `[tls.acme]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The host names that are asked for.
    pub domains: Vec<String>,
    /// An address of mail for the authority's notices.
    pub contact: Option<String>,
    /// The authority's directory. Absent: Let's Encrypt's.
    pub directory: Option<Url>,
    /// A certificate (PEM) to trust when talking to the authority, for a private one.
    pub ca_file: Option<PathBuf>,
    /// How the authority is shown that the names are ours.
    pub challenge: AcmeChallenge,
    /// Where account and certificates are kept. Absent: `acme` in the data folder.
    pub dir: Option<PathBuf>,
}

/// The kind of an ACME challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// Inside the TLS handshake, on `gateway.tls_listen`, which the authority reaches at port 443.
    TlsAlpn01,
    /// On `gateway.listen`, which the authority reaches at port 80.
    Http01,
}

pub(super) fn tls(mut section: Section<'_, '_>) -> TlsConfig {
    let certificates = section.each_table("certificates", certificate);
    let acme = section.table("acme").and_then(acme);
    section.finish();
    TlsConfig { certificates, acme }
}

fn certificate(mut section: Section<'_, '_>) -> Option<CertificateFiles> {
    let cert_file = section.required("cert_file", "a PEM file with the certificate and its chain", read::path);
    let key_file = section.required("key_file", "a PEM file with the private key", read::path);
    section.finish();
    Some(CertificateFiles { cert_file: cert_file?, key_file: key_file? })
}

fn acme(mut section: Section<'_, '_>) -> Option<AcmeConfig> {
    let domains = section.required("domains", "a list of host names", read::hosts);
    let words = &[("tls-alpn-01", AcmeChallenge::TlsAlpn01), ("http-01", AcmeChallenge::Http01)];
    let contact = section.optional("contact", read::text);
    let directory = section.optional("directory", read::http_url);
    let ca_file = section.optional("ca_file", read::path);
    let challenge = section.optional("challenge", read::word(words)).unwrap_or(AcmeChallenge::TlsAlpn01);
    let dir = section.optional("dir", read::path);
    section.finish();
    Some(AcmeConfig { domains: domains?, contact, directory, ca_file, challenge, dir })
}

/// `[cache]`: manifests, small blobs and index documents, on disk across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Its folder. Absent: `cache` in the data folder.
    pub dir: Option<PathBuf>,
    /// The most bytes that it holds; the longest unused goes first.
    pub bytes_max: u64,
    /// The largest thing that it keeps, in bytes.
    pub item_bytes_max: u64,
    /// How long a tag or an index document is answered without asking the upstream, in seconds.
    pub ttl_s: u64,
    /// How long after that it may still be answered when the upstream does not, in hours.
    pub stale_max_h: u64,
}

pub(super) fn cache(mut section: Section<'_, '_>) -> CacheConfig {
    let config = CacheConfig {
        dir: section.optional("dir", read::path),
        bytes_max: section.optional("bytes_max", read::bytes).unwrap_or(256 << 20),
        item_bytes_max: section.optional("item_bytes_max", read::bytes).unwrap_or(4 << 20),
        ttl_s: section.optional("ttl_s", read::number(0..=86_400)).unwrap_or(60),
        stale_max_h: section.optional("stale_max_h", read::number(0..=24 * 365)).unwrap_or(24 * 7),
    };
    if config.item_bytes_max > config.bytes_max {
        section.complain(
            "`cache.item_bytes_max` is larger than `cache.bytes_max`".to_owned(),
            "the defaults are 4 MiB and 256 MiB",
        );
    }
    section.finish();
    config
}

/// `[privacy]`: who is not to be known, and what `/privacy` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivacyConfig {
    /// Who runs this gateway, for the page.
    pub operator: Option<String>,
    /// Where the operator is reached, for the page.
    pub contact: Option<String>,
    /// Clients of these networks are counted without address.
    pub opt_out_networks: Vec<IpNet>,
    /// Requests to these host names are counted without address.
    pub opt_out_hosts: Vec<String>,
}

pub(super) fn privacy(mut section: Section<'_, '_>) -> PrivacyConfig {
    let config = PrivacyConfig {
        operator: section.optional("operator", read::text),
        contact: section.optional("contact", read::text),
        opt_out_networks: section.optional("opt_out_networks", read::networks).unwrap_or_default(),
        opt_out_hosts: section.optional("opt_out_hosts", read::hosts).unwrap_or_default(),
    };
    section.finish();
    config
}

/// `[[organization]]`: one that says itself who it is, by a host name or a user name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationConfig {
    /// Its id: its domain where it has one.
    pub id: String,
    /// Its name for people. Absent: the id.
    pub name: Option<String>,
    /// Host names that only it uses.
    pub hosts: Vec<String>,
    /// User names that only it uses.
    pub users: Vec<String>,
    /// SHA-256 of the password that its users give, in hexadecimal. Absent: any password.
    pub password_sha256: Option<String>,
}

pub(super) fn organization(mut section: Section<'_, '_>) -> Option<OrganizationConfig> {
    let id = section.required("id", "the organization's domain, as \"example.com\"", read::text);
    let name = section.optional("name", read::text);
    let hosts = section.optional("hosts", read::hosts).unwrap_or_default();
    let users = section.optional("users", read::texts).unwrap_or_default();
    let password_sha256 = section.optional("password_sha256", sha256);
    if hosts.is_empty() && users.is_empty() {
        section.complain("an [[organization]] without `hosts` and `users`".to_owned(), "give it one of them");
    }
    section.finish();
    Some(OrganizationConfig { id: id?, name, hosts, users, password_sha256 })
}

/// 64 hexadecimal digits.
pub(super) fn sha256(value: toml_span::Value<'_>) -> Read<String> {
    let text = read::text(value)?.to_ascii_lowercase();
    let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if good { Ok(text) } else { Err(Fault::new("not a SHA-256", "64 hexadecimal digits, as `sha256sum` prints them")) }
}
