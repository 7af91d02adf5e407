//! `whopulls geo update` against a real server: what is whole is installed, and whatever fails, the old file stays.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::file_server::FileServer;
use crate::support::process::Process;
use crate::support::{Output, free_port, shared, wait_until};

/// A server with real databases, and a folder to keep them in.
struct Scene {
    server: FileServer,
    folder: TempDir,
    asn: Vec<u8>,
    country: Vec<u8>,
    sources: String,
    files: Vec<PathBuf>,
}

impl Scene {
    /// `None` where the databases are not on this machine.
    fn new() -> Option<Self> {
        let read = |name: &str| shared(&format!("mmdb-test/{name}")).map(|path| fs::read(path).expect("a database"));
        let (asn, country) = (read("GeoLite2-ASN-Test.mmdb")?, read("GeoLite2-Country-Test.mmdb")?);
        let server = FileServer::start();
        server.put("asn", &asn);
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self { server, folder, asn, country, sources: String::new(), files: Vec::new() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("geo").join(name)
    }

    /// An older database where a source is to be kept.
    fn old(&self, name: &str) -> PathBuf {
        let file = self.file(name);
        fs::create_dir_all(self.file("")).expect("a folder");
        fs::write(&file, &self.country).expect("a file");
        file
    }

    /// Adds a source; `rest` is its further lines.
    fn source(&mut self, name: &str, url: &str, rest: &str) -> PathBuf {
        let file = self.file(name);
        let text = format!("[[geo.source]]\nfile = '{}'\nurl = '{url}'\n{rest}\n", file.display());
        self.sources.push_str(&text);
        self.files.push(file.clone());
        file
    }

    fn config(&self) -> String {
        let config = self.folder.path().join("whopulls.toml").display().to_string();
        let files: Vec<String> = self.files.iter().map(|file| format!("'{}'", file.display())).collect();
        let text = format!("[enrich]\ngeo_databases = [{}]\n{}", files.join(", "), self.sources);
        fs::write(&config, text).expect("a configuration");
        config
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whopulls"));
        command.args(arguments).args(["--config", &self.config()]);
        command.env("SSL_CERT_FILE", self.server.certificate()).env("NO_PROXY", "localhost,127.0.0.1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().expect("whopulls runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Output { stdout: text(output.stdout), stderr: text(output.stderr), success: output.status.success() }
    }

    fn update(&self) -> Output {
        self.run(&["geo", "update"])
    }

    /// The names in the folder of the databases.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.file("")).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    /// An update that must fail with these words, and leave nothing but the old file as it was.
    #[track_caller]
    fn refuses(mut self, url: &str, rest: &str, words: &[&str]) -> Self {
        (self.sources, self.files) = (String::new(), Vec::new());
        let old = self.old("asn.mmdb");
        self.source("asn.mmdb", url, rest);
        let output = self.update();
        assert!(!output.success, "{}", output.stdout);
        for word in words {
            assert!(output.stderr.contains(word), "{word} in\n{}", output.stderr);
        }
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
        let told = output.stdout.lines().next().unwrap_or_default();
        assert!(told.contains("GeoLite2-Country") && told.ends_with("  failed"), "what stays is told: {told}");
        assert_eq!(fs::read(&old).expect("a file"), self.country, "the old file stays");
        assert_eq!(self.names(), ["asn.mmdb"], "nothing is left beside it");
        self
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a text takes what is written");
    }
    text
}

fn by_value(bytes: &[u8]) -> String {
    format!("sha256 = '{}'", digest(bytes))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// As MaxMind packs it.
fn tar_gz(database: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let members: [(&str, &[u8]); 3] =
        [("COPYRIGHT.txt", b"all rights"), ("GeoLite2-ASN.mmdb", database), ("LICENSE.txt", b"none")];
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("GeoLite2-ASN_20261120/{name}"), bytes).expect("memory takes it");
    }
    gzip(&builder.into_inner().expect("memory takes it"))
}

#[test]
fn every_packing_is_installed_and_a_second_run_downloads_nothing() {
    let Some(mut scene) = Scene::new() else { return };
    let packed = [gzip(&scene.asn), zstd::encode_all(scene.asn.as_slice(), 3).expect("packed"), tar_gz(&scene.asn)];
    let [gz, zst, tar] = &packed;
    for (name, bytes) in [("b", gz), ("c", zst), ("d", tar)] {
        scene.server.put(name, bytes);
        scene.server.put(&format!("{name}.sha256"), format!("{}  {name}\n", digest(bytes)).as_bytes());
    }
    let https = |path: &str| scene.server.https(path);
    let (plain, urls) = (scene.server.http("asn"), ["b", "c", "d"].map(https));
    let sums = ["b.sha256", "d.sha256"].map(|path| format!("sha256_url = '{}'", https(path)));
    let by_value = [by_value(&scene.asn), by_value(zst)];
    scene.old("plain.mmdb");
    let files = [
        scene.source("plain.mmdb", &plain, &by_value[0]),
        scene.source("gzip.mmdb", &urls[0], &sums[0]),
        scene.source("zstd.mmdb", &urls[1], &by_value[1]),
        scene.source("tar.mmdb", &urls[2], &sums[1]),
    ];

    let printed = scene.update().expect_success();
    assert_eq!(printed.lines().count(), 4, "{printed}");
    for (line, file) in printed.lines().zip(&files) {
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let [name, kind, built, size, word] = cells.as_slice() else { panic!("{line}") };
        assert_eq!((*name, *kind, *word), (file.to_str().expect("text"), "GeoLite2-ASN", "updated"), "{line}");
        assert!(built.starts_with("20") && size.ends_with("KiB"), "{line}");
        assert_eq!(fs::read(file).expect("a file"), scene.asn);
    }
    let memory = fs::read_to_string(scene.file("tar.mmdb.source.json")).expect("a memory");
    let memory: Value = serde_json::from_str(&memory).expect("JSON");
    assert_eq!(memory["url"], urls[2].as_str());
    assert_eq!((&memory["download_sha256"], &memory["file_sha256"]), (&digest(tar).into(), &digest(&scene.asn).into()));
    assert!(memory["installed_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{memory}");
    assert_eq!(scene.names().len(), 8, "{:?}", scene.names());

    let printed = scene.update().expect_success();
    assert!(printed.lines().count() == 4 && printed.lines().all(|line| line.ends_with("  current")), "{printed}");
    let asked = scene.server.asked();
    let count = |path: &str| asked.iter().filter(|line| line.contains(&format!(" /{path} "))).count();
    assert_eq!(["asn", "b", "c", "d"].map(count), [1; 4], "each once: {asked:?}");
    assert_eq!(["b.sha256", "d.sha256"].map(count), [2; 2], "{asked:?}");

    // What an operator put in its place is not what was installed.
    fs::write(&files[0], &scene.country).expect("a file");
    let printed = scene.update().expect_success();
    assert!(printed.lines().next().is_some_and(|line| line.ends_with("  updated")), "{printed}");
    assert_eq!(fs::read(&files[0]).expect("a file"), scene.asn);
}

#[test]
fn what_is_not_what_its_checksum_says_or_no_database_is_not_installed() {
    let Some(scene) = Scene::new() else { return };
    let asn = scene.asn.clone();
    let broken =
        shared("mmdb-test/MaxMind-DB-test-broken-pointers-24.mmdb").map(|path| fs::read(path).expect("a file"));
    let broken = broken.expect("it stands beside the others");
    let cut = asn.get(..asn.len() / 2).expect("it is longer").to_vec();
    let half_packed = gzip(&asn).get(..4000).expect("it is longer").to_vec();
    let files = [("cut", &cut), ("bad-pointers", &broken), ("half-packed", &half_packed)];
    for (name, bytes) in files {
        scene.server.put(name, bytes);
    }
    scene.server.put("page", b"<!doctype html>");
    scene.server.put("tar", &tar_gz(b"no database"));
    let https = |name: &str| scene.server.https(name);
    let urls = ["asn", "cut", "bad-pointers", "half-packed", "page", "tar", "page.sha256"].map(https);
    let [good, cut_url, broken_url, half_packed_url, page, tar, no_sum] = &urls;

    let wrong = digest(b"something else");
    let scene =
        scene.refuses(good, &format!("sha256 = '{wrong}'"), &["SHA-256", &wrong, &digest(&asn), "newer file", good]);
    scene.server.put("page.sha256", format!("{wrong}  asn\n").as_bytes());
    let scene = scene.refuses(good, &format!("sha256_url = '{no_sum}'"), &[&wrong, "try again"]);
    let scene = scene.refuses(good, &format!("sha256_url = '{page}'"), &["read the checksum at", page]);
    let scene = scene.refuses(cut_url, &by_value(&cut), &["damaged or not a MaxMind DB", cut_url]);
    let scene = scene.refuses(broken_url, &by_value(&broken), &["damaged", broken_url]);
    let scene = scene.refuses(half_packed_url, &by_value(&half_packed), &["unpack", half_packed_url]);
    let scene = scene.refuses(tar, &by_value(&tar_gz(b"no database")), &["damaged"]);
    scene.refuses(page, &by_value(b"<!doctype html>"), &["damaged or not a MaxMind DB", page]);
}

#[test]
fn a_server_that_gives_nothing_good_is_told_with_what_to_do() {
    let Some(scene) = Scene::new() else { return };
    let sum = by_value(&scene.asn);
    let large = fs::File::create(scene.server.file("large")).expect("a file");
    large.set_len((1 << 30) + 1).expect("a file with a hole");
    let urls = ["missing", "broken", "loop", "less-safe", "large"].map(|path| scene.server.https(path));
    let [missing, broken, endless, less_safe, large] = &urls;
    let nobody = format!("http://127.0.0.1:{}/asn", free_port());
    let scene = scene.refuses(missing, &sum, &["404", missing, "look at `url`"]);
    let scene = scene.refuses(broken, &sum, &["503", "try again later"]);
    let scene = scene.refuses(endless, &sum, &["redirects more than 5 times"]);
    let scene = scene.refuses(less_safe, &sum, &["less safe"]);
    let scene = scene.refuses(large, &sum, &["more than 1073741824 bytes"]);
    let scene = scene.refuses(&nobody, &sum, &[&nobody, "onnect"]);
    let asked = scene.server.asked();
    let count = |path: &str| asked.iter().filter(|line| line.contains(path)).count();
    assert_eq!((count("/missing "), count("/broken "), count("/asn ")), (1, 3, 0), "{asked:?}");
}

#[test]
fn one_source_fails_and_the_others_are_updated() {
    let Some(mut scene) = Scene::new() else { return };
    scene.old("first.mmdb");
    let (missing, good, sum) = (scene.server.https("missing"), scene.server.https("asn"), by_value(&scene.asn));
    let first = scene.source("first.mmdb", &missing, &sum);
    let second = scene.source("second.mmdb", &good, &sum);
    let output = scene.update();
    assert!(!output.success, "{}", output.stdout);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(
        matches!(lines.as_slice(), [one, other] if one.ends_with("failed") && other.ends_with("updated")),
        "{lines:?}"
    );
    assert!(output.stderr.contains("1 of 2 sources failed"), "{}", output.stderr);
    assert_eq!(fs::read(first).expect("a file"), scene.country);
    assert_eq!(fs::read(second).expect("a file"), scene.asn);
}

#[test]
fn a_password_goes_to_the_urls_own_host_and_not_where_it_leads() {
    let Some(mut scene) = Scene::new() else { return };
    let packed = tar_gz(&scene.asn);
    scene.server.put("packed", &packed);
    scene.server.put("private/sum", format!("{}  asn.tar.gz\n", digest(&packed)).as_bytes());
    let secret = scene.folder.path().join("licence");
    fs::write(&secret, "hunter2\n").expect("a file");
    let [url, sum] = ["private/signed", "private/sum"].map(|path| scene.server.https(path));
    let rest = format!("sha256_url = '{sum}'\nusername = 'user'\npassword_file = '{}'", secret.display());
    let file = scene.source("asn.mmdb", &url, &rest);
    scene.update().expect_success();
    assert_eq!(fs::read(&file).expect("a file"), scene.asn);
    let basic = "\"Basic dXNlcjpodW50ZXIy\"";
    let expected = [
        format!("origin /private/sum 200 {basic}"),
        format!("origin /private/signed 302 {basic}"),
        "storage /packed?signature=hunter2 200 \"-\"".to_owned(),
    ];
    assert_eq!(scene.server.asked(), expected);
    let memory = fs::read_to_string(scene.file("asn.mmdb.source.json")).expect("a memory");
    assert!(!memory.contains("hunter2"), "{memory}");

    fs::remove_file(scene.file("asn.mmdb.source.json")).expect("it is there");
    fs::write(&secret, "hunter3\n").expect("a file");
    let scene = scene.refuses(&url, &rest, &["401", "password_file", &sum]);
    // A checksum of another host is asked for without the password.
    scene.server.put("sum", digest(&packed).as_bytes());
    fs::write(&secret, "hunter2\n").expect("a file");
    let elsewhere = scene.server.https("sum").replace("localhost", "127.0.0.1");
    let rest = rest.replace(&sum, &elsewhere);
    let mut scene = scene;
    (scene.sources, scene.files) = (String::new(), Vec::new());
    scene.source("asn.mmdb", &url, &rest);
    scene.update().expect_success();
    let asked = scene.server.asked();
    assert!(asked.contains(&"origin /sum 200 \"-\"".to_owned()), "{asked:?}");
}

#[test]
fn an_update_that_is_stopped_or_killed_leaves_the_old_file() {
    let Some(mut scene) = Scene::new() else { return };
    let old = scene.old("asn.mmdb");
    let (url, sum) = (scene.server.http("slow"), by_value(&scene.asn));
    scene.source("asn.mmdb", &url, &sum);
    for signal in ["TERM", "KILL"] {
        let mut command = scene.command(&["geo", "update"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("whopulls runs");
        let open_files = PathBuf::from(format!("/proc/{}/fd", child.id()));
        wait_until("a file is open in the folder", Duration::from_mins(1), || {
            let links = fs::read_dir(&open_files).into_iter().flatten().flatten();
            links.flat_map(|link| fs::read_link(link.path())).any(|to| to.starts_with(scene.file("")))
        });
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let output = child.wait_with_output().expect("it ends");
        let told = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success(), "{told}");
        assert!(signal == "KILL" || told.contains("stopped at"), "{told}");
        assert_eq!(fs::read(&old).expect("a file"), scene.country, "{signal}");
        assert_eq!(scene.names(), ["asn.mmdb"], "{signal}");
    }
}

#[test]
fn a_running_worker_takes_the_new_file() {
    let Some(mut scene) = Scene::new() else { return };
    scene.old("asn.mmdb");
    let (url, sum) = (scene.server.https("asn"), by_value(&scene.asn));
    scene.source("asn.mmdb", &url, &sum);
    let data = scene.folder.path().join("data").display().to_string();
    let mut command = scene.command(&["up"]);
    command
        .env("WHOPULLS_GATEWAY_LISTEN", "127.0.0.1:0")
        .env("WHOPULLS_SERVE_LISTEN", "127.0.0.1:0")
        .env("NO_COLOR", "1")
        .env("WHOPULLS_DATA", data);
    let mut worker = Process::start("up", &mut command);
    // The old file is in use now.
    drop(worker.line_with("reading on from"));
    scene.update().expect_success();
    let line = worker.line_with("address database reloaded");
    assert!(line.contains("GeoLite2-ASN@"), "{line}");
    worker.stop();
}

#[test]
fn without_a_source_the_keys_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("whopulls.toml");
    fs::write(&config, "data = 'data'\n").expect("a configuration");
    let output = crate::support::whopulls(&["geo", "update", "--config", config.to_str().expect("a text path")]);
    assert!(!output.success);
    for key in ["[[geo.source]]", "`file`", "`url`", "`sha256_url`"] {
        assert!(output.stderr.contains(key), "{key} in {}", output.stderr);
    }
}

#[test]
fn status_tells_what_is_in_use_how_old_it_is_and_where_it_came_from() {
    let Some(mut scene) = Scene::new() else { return };
    let (url, sum) = (scene.server.https("asn"), by_value(&scene.asn));
    let asn = scene.source("asn.mmdb", &format!("{url}?token=hunter2"), &sum);
    let other = scene.source("other.mmdb", &url, &sum);
    // Nobody reads the second.
    scene.files.truncate(1);
    let output = scene.run(&["geo", "status"]);
    assert!(!output.success && output.stdout.contains("cannot be used"), "not there yet: {output:?}");
    let updated = scene.update();
    assert!(updated.success && updated.stderr.contains(&other.display().to_string()), "a warning: {}", updated.stderr);

    let printed = scene.run(&["geo", "status"]).expect_success();
    let lines: Vec<&str> = printed.lines().collect();
    let [version, database, source, default, unread, _] = lines.as_slice() else { panic!("{printed}") };
    let of_files = crate::support::whopulls(&["geo", "status", "--database", asn.to_str().expect("text")]);
    assert_eq!(of_files.expect_success().trim_end(), *version, "the same with --database");
    assert!(version.starts_with("GeoLite2-ASN@") && version.contains("+whopulls-default@"), "{version}");
    let parts = [&asn.display().to_string(), ": GeoLite2-ASN, built 20", " days ago), ", "KiB"];
    assert!(parts.iter().all(|part| database.contains(part)), "{database}");
    assert!(
        source.contains(&format!("source {url}: installed 20")) && source.ends_with("the file is that one"),
        "{source}"
    );
    assert!(default.contains("whopulls-default, built 20") && default.contains("MiB"), "{default}");
    assert!(unread.contains("nobody reads it") && unread.contains("other.mmdb"), "{unread}");
    assert!(!printed.contains("hunter2"), "{printed}");

    fs::write(&asn, &scene.country).expect("a file");
    let printed = scene.run(&["geo", "status"]).expect_success();
    assert!(printed.contains("GeoLite2-Country") && printed.contains("replaced by another one since"), "{printed}");
    let checked = scene.run(&["check"]).expect_success();
    assert!(checked.contains("other.mmdb, and nobody reads it") && !checked.contains("/asn.mmdb,"), "{checked}");
}

#[test]
fn a_new_file_keeps_who_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(mut scene) = Scene::new() else { return };
    let old = scene.old("asn.mmdb");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).expect("permissions");
    let (url, sum) = (scene.server.https("asn"), by_value(&scene.asn));
    scene.source("asn.mmdb", &url, &sum);
    let fresh = scene.source("new.mmdb", &url, &sum);
    scene.update().expect_success();
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&old), 0o640);
    assert_eq!(mode(&fresh) & 0o600, 0o600);
    assert_ne!(mode(&fresh) & 0o044, 0, "a worker of another user reads it");
}
