use std::fs;

use super::*;
use crate::geo::tests::shared;

/// Name, version, system, architecture; `-` for what is not said.
#[track_caller]
fn check(user_agent: &str, expected: [&str; 4]) {
    let client = recognize(user_agent);
    let version = client.version.as_deref();
    let found = [client.name, version, client.os, client.arch].map(|part| part.unwrap_or("-"));
    assert_eq!(found, expected, "{user_agent}");
}

#[test]
fn docker_speaks_for_its_client() {
    let user_agent = "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/6.1.0-13-amd64 os/linux arch/amd64 \
        UpstreamClient(Docker-Client/24.0.7 \\(linux\\))";
    check(user_agent, ["docker", "24.0.7", "linux", "amd64"]);
    let from_a_mac = "docker/20.10.21 go/go1.18.7 git-commit/3056208 kernel/5.15.49-linuxkit os/linux arch/arm64 \
        UpstreamClient(Docker-Client/20.10.21 \\(darwin\\))";
    check(from_a_mac, ["docker", "20.10.21", "linux", "arm64"]);
    check("docker/1.13 UpstreamClient(Docker-Client/1.13 \\(windows\\))", ["docker", "1.13", "windows", "-"]);
}

#[test]
fn container_tools_are_recognized() {
    check("containerd/v1.7.2", ["containerd", "1.7.2", "-", "-"]);
    check("containerd/1.4.3+unknown", ["containerd", "1.4.3+unknown", "-", "-"]);
    check("libpod/4.3.1", ["podman", "4.3.1", "-", "-"]);
    check("Buildah/1.28.0", ["buildah", "1.28.0", "-", "-"]);
    check("skopeo/1.9.3", ["skopeo", "1.9.3", "-", "-"]);
    check("crane/v0.15.2 go-containerregistry/v0.15.2", ["crane", "0.15.2", "-", "-"]);
    check("cosign/v2.2.1 (linux; amd64) go-containerregistry/v0.16.1", ["cosign", "2.2.1", "linux", "amd64"]);
    check("oras/1.1.0", ["oras", "1.1.0", "-", "-"]);
    check("Helm/3.12.3", ["helm", "3.12.3", "-", "-"]);
    check("regclient/regctl (v0.5.1)", ["regctl", "0.5.1", "-", "-"]);
    check("containers/5.29.1 (github.com/containers/image)", ["containers-image", "5.29.1", "-", "-"]);
    check("cri-o/1.26.1 go/go1.19 os/linux arch/arm64", ["cri-o", "1.26.1", "linux", "arm64"]);
}

#[test]
fn package_managers_are_recognized() {
    check("Debian APT-HTTP/1.3 (0.8.16~exp12ubuntu10.21)", ["apt", "0.8.16~exp12ubuntu10.21", "linux", "-"]);
    check("Ubuntu APT-HTTP/1.3 (0.7.25.3ubuntu9.14)", ["apt", "0.7.25.3ubuntu9.14", "linux", "-"]);
    check("Debian Apt-Cacher-NG/0.7.11", ["apt-cacher-ng", "0.7.11", "linux", "-"]);
    check("urlgrabber/3.9.1 yum/3.2.29", ["yum", "3.2.29", "-", "-"]);
    check("libdnf (Fedora Linux 37; server; Linux.x86_64)", ["dnf", "-", "linux", "amd64"]);
    check("npm/8.19.2 node/v18.12.1 linux x64 workspaces/false", ["npm", "8.19.2", "linux", "amd64"]);
    check("pip/1.4.1 CPython/2.7.14 Darwin/17.7.0", ["pip", "1.4.1", "macos", "-"]);
    check("poetry/1.1.11 CPython/3.9.2 Linux/5.10.16.3-microsoft-standard-WSL2", ["poetry", "1.1.11", "linux", "-"]);
    check("Homebrew/0.9.9 (Macintosh; Intel macOS 10.12.0) curl/7.43.0", ["homebrew", "0.9.9", "macos", "-"]);
    check("Bazel/release 1.0", ["bazel", "-", "-", "-"]);
    let chef = "Chef Client/11.6.2 (ruby-1.9.3-p448; ohai-6.18.0; x86_64-linux; +http://opscode.com)";
    check(chef, ["chef", "11.6.2", "linux", "amd64"]);
    assert!(!recognize(chef).bot, "an address in a known program's comment makes no robot of it");
}

#[test]
fn pip_and_uv_say_their_machine_in_json() {
    let pip = r#"pip/18.0 {"cpu":"x86_64","distro":{"name":"macOS","version":"10.13.6"},"installer":{"name":"pip","version":"18.0"},"python":"3.5.3","system":{"name":"Darwin","release":"17.7.0"}}"#;
    check(pip, ["pip", "18.0", "macos", "amd64"]);
    let uv = r#"uv/0.1.22 {"installer":{"name":"uv","version":"0.1.22"},"python":"3.12.2","distro":null,"system":{"name":"Windows","release":"2022Server"},"cpu":"AMD64","ci":true}"#;
    check(uv, ["uv", "0.1.22", "windows", "amd64"]);
    assert!(recognize(uv).ci);
    assert!(!recognize(pip).ci);
    check(r#"pip/21.0 {"cpu":"aarch64","system":{"name":"Linux","rel"#, ["pip", "21.0", "linux", "arm64"]);
}

#[test]
fn general_clients_and_browsers_are_recognized() {
    check("Wget/1.13.4 (linux-gnu)", ["wget", "1.13.4", "linux", "-"]);
    let curl = "curl/7.22.0 (x86_64-pc-linux-gnu) libcurl/7.22.0 OpenSSL/1.0.1";
    check(curl, ["curl", "7.22.0", "linux", "amd64"]);
    check("python-requests/2.0.0 CPython/2.6.6 Linux/2.6.32-358.el6.x86_64", ["requests", "2.0.0", "linux", "amd64"]);
    check("Go 1.1 package http", ["go", "-", "-", "-"]);
    check("fetch libfetch/2.0", ["fetch", "2.0", "-", "-"]);
    let firefox = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0";
    check(firefox, ["browser", "-", "linux", "amd64"]);
    let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 7_0_4 like Mac OS X) AppleWebKit/537.51.1 Mobile/11B554a";
    check(phone, ["browser", "-", "ios", "-"]);
}

#[test]
fn robots_are_flagged_even_when_they_pose_as_browsers() {
    let posing = "Mozilla/5.0 (iPhone; CPU iPhone OS 6_0 like Mac OS X) AppleWebKit/536.26 Version/6.0 Mobile/10A5376e \
        Safari/8536.25 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    assert!(recognize(posing).bot);
    assert_eq!(recognize(posing).name, Some("googlebot"));
    assert!(recognize("Mozilla/5.0 (compatible; AhrefsBot/5.0; +http://ahrefs.com/robot/)").bot);
    assert!(recognize("SomethingNew-bot/1.0").bot);
    assert!(!recognize("Mozilla/5.0 (X11; Linux x86_64; rv:26.0) Gecko/20100101 Firefox/26.0").bot);
}

#[test]
fn what_nobody_knows_is_none_and_nothing_panics() {
    assert_eq!(recognize(""), Client::default());
    check("None", ["-", "-", "-", "-"]);
    for odd in
        ["(((((", "docker/", "/", "\\", "UpstreamClient(", "UpstreamClient(\\", "pip/1 {", "\u{1f433}/1.0 (\u{1f433}"]
    {
        recognize(odd);
    }
    let long = "x".repeat(100_000) + " (";
    recognize(&long);
}

#[test]
fn a_comment_in_a_comment_belongs_to_it() {
    let parts: Vec<_> = products("a/1 (x (y/2) z) b/3").map(|part| (part.name, part.version, part.comment)).collect();
    assert_eq!(parts, [("a", Some("1"), Some("x (y/2) z")), ("b", Some("3"), None)]);
}

/// The user agent and the installer's name of each example of a file.
fn examples(yaml: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut in_installer = false;
    for line in yaml.lines() {
        if let Some(user_agent) = line.strip_prefix("- ua: ") {
            found.push((user_agent.trim().trim_matches(['\'', '"']).to_owned(), String::new()));
        } else if let (true, Some(name), Some((_, last))) =
            (in_installer, line.trim().strip_prefix("name: "), found.last_mut())
        {
            name.clone_into(last);
        }
        in_installer = line.trim() == "installer:";
    }
    found
}

#[test]
fn the_installers_that_a_package_index_knows_are_recognized() {
    let Some(folder) = shared("logs/formats/pypi_user_agents") else { return };
    let mut checked = 0;
    for file in fs::read_dir(folder).expect("a folder") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("text");
        for (user_agent, installer) in examples(&text).into_iter().filter(|(_, installer)| !installer.is_empty()) {
            let expected = match installer.as_str() {
                "OS" => "fetch".to_owned(),
                other => other.to_lowercase(),
            };
            assert_eq!(recognize(&user_agent).name, Some(expected.as_str()), "{user_agent}");
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} examples were found");
}

#[test]
fn nearly_all_user_agents_of_a_package_server_are_recognized() {
    let Some(folder) = shared("logs") else { return };
    let log = fs::read_to_string(folder.join("nginx_package_downloads.log")).expect("the folder has it");
    let user_agents: Vec<&str> = log.lines().filter_map(|line| line.rsplit('"').nth(1)).collect();
    let known = user_agents.iter().filter(|user_agent| recognize(user_agent).name.is_some()).count();
    assert_eq!((user_agents.len(), known), (14_575, 14_563), "`-`, `None` and nothing else is unknown");
}
