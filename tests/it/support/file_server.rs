//! A real nginx that gives files, by http and by https, and writes down who asked with what.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use super::{block_on, free_port, wait_until};

/// `user:hunter2`, which everything under `/private/` wants.
const LOGIN: &str = "Basic dXNlcjpodW50ZXIy";

/// Three servers over one folder: `plain`, `origin` and, as another host, `storage`.
pub(crate) struct FileServer {
    folder: TempDir,
    plain: u16,
    origin: u16,
    storage: u16,
    _process: Process,
}

impl FileServer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [plain, origin, storage] = std::array::from_fn(|_| free_port());
        std::fs::create_dir_all(folder.path().join("files/private")).expect("a folder");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("a file");
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(folder.path(), plain, origin, storage)).expect("a configuration");
        let process = Process::start("nginx", Command::new("nginx").arg("-c").arg(&config).arg("-e").arg("stderr"));
        let server = Self { folder, plain, origin, storage, _process: process };
        for port in [plain, origin, storage] {
            wait_until("nginx listens", Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        server
    }

    /// Puts a file on every server.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.file(name), bytes).expect("a file");
    }

    /// Where a file of the servers stands.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// What has to be trusted.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.plain)
    }

    /// The host `localhost`; `storage` is `127.0.0.1`.
    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.origin)
    }

    /// Every request so far: server, path, status and `Authorization`.
    pub(crate) fn asked(&self) -> Vec<String> {
        // What was asked before is written before this is answered: nginx has one process here, and does one thing at a time.
        let fence = block_on(reqwest::get(self.http("fence"))).expect("nginx answers");
        assert_eq!(fence.status(), 404);
        let text = std::fs::read_to_string(self.folder.path().join("access.log")).expect("a log");
        let names = [(self.plain, "plain"), (self.origin, "origin"), (self.storage, "storage")];
        let line = |line: &str| {
            let (port, rest) = line.split_once(' ').expect("a port");
            let name = names.iter().find(|(number, _)| number.to_string() == port).expect("a known port").1;
            format!("{name} {rest}")
        };
        text.lines().filter(|line| !line.contains("/fence")).map(line).collect()
    }
}

fn configuration(folder: &Path, plain: u16, origin: u16, storage: u16) -> String {
    let dir = folder.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {dir}/{what};"));
    let temporary = temporary.join("\n    ");
    let locked = format!("if ($http_authorization != \"{LOGIN}\") {{ return 401; }}");
    format!(
        r#"
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    {temporary}
    log_format asked '$server_port $request_uri $status "$http_authorization"';
    access_log {dir}/access.log asked;
    default_type application/octet-stream;
    root {dir}/files;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    server {{
        listen 127.0.0.1:{plain};
        location = /slow {{ limit_rate 1k; alias {dir}/files/asn; }}
    }}
    server {{
        listen 127.0.0.1:{origin} ssl;
        location /private/ {{ {locked} }}
        location = /private/signed {{ {locked} return 302 https://127.0.0.1:{storage}/packed?signature=hunter2; }}
        location = /broken {{ return 503; }}
        location = /loop {{ return 302 /loop; }}
        location = /less-safe {{ return 302 http://127.0.0.1:{plain}/asn; }}
    }}
    server {{
        listen 127.0.0.1:{storage} ssl;
    }}
}}
"#
    )
}
