use super::*;

#[test]
fn systems_packages_are_recognized() {
    check_all(&[
        ("Debian APT-HTTP/1.3 (1.0.1ubuntu2)", ["apt", "1.0.1ubuntu2", "ubuntu", "-"]),
        ("Debian APT-HTTP/1.3 (0.8.16~exp12ubuntu10.21)", ["apt", "0.8.16~exp12ubuntu10.21", "ubuntu", "-"]),
        ("Debian APT-HTTP/1.3 (0.9.7.9)", ["apt", "0.9.7.9", "debian", "-"]),
        ("Ubuntu APT-HTTP/1.3 (0.7.25.3ubuntu9.14)", ["apt", "0.7.25.3ubuntu9.14", "ubuntu", "-"]),
        ("Debian APT-CURL/1.0 (1.0.1ubuntu2)", ["apt", "1.0.1ubuntu2", "ubuntu", "-"]),
        ("Debian Apt-Cacher-NG/0.7.11", ["apt-cacher-ng", "0.7.11", "debian", "-"]),
        ("apt-cacher/1.7.6 libcurl/7.26.0 GnuTLS/2.12.20 zlib/1.2.7", ["apt-cacher", "1.7.6", "-", "-"]),
        ("urlgrabber/3.9.1 yum/3.2.29", ["yum", "3.2.29", "-", "-"]),
        ("libdnf (Fedora Linux 37; server; Linux.x86_64)", ["dnf", "-", "linux", "amd64"]),
        ("dnf/0.5.4", ["dnf", "0.5.4", "-", "-"]),
        ("ZYpp 17.31.0 (curl 7.79.1) openSUSE-Leap-15.4-x86_64", ["zypper", "17.31.0", "suse", "amd64"]),
        ("apk-tools/2.14.0", ["apk", "2.14.0", "-", "-"]),
        ("pacman/6.0.2 (Linux x86_64) libalpm/13.0.2", ["pacman", "6.0.2", "linux", "amd64"]),
        ("fetch libfetch/2.0", ["fetch", "2.0", "-", "-"]),
    ]);
    let chef = "Chef Client/11.6.2 (ruby-1.9.3-p448; ohai-6.18.0; x86_64-linux; +http://opscode.com)";
    check(chef, ["chef", "11.6.2", "linux", "amd64"]);
    assert!(!recognize(chef).bot, "an address in a known program's comment makes no robot of it");
}

#[test]
fn package_managers_of_languages_are_recognized() {
    check_all(&[
        ("npm/8.19.2 node/v18.12.1 linux x64 workspaces/false", ["npm", "8.19.2", "linux", "amd64"]),
        ("npm/10.2.4 node/v20.11.0 darwin arm64 workspaces/false", ["npm", "10.2.4", "macos", "arm64"]),
        ("npm/9.5.0 node/v18.14.2 win32 x64 workspaces/false", ["npm", "9.5.0", "windows", "amd64"]),
        ("pnpm/8.12.1 npm/? node/v20.10.0 linux x64", ["pnpm", "8.12.1", "linux", "amd64"]),
        ("yarn/1.22.19 npm/? node/v18.17.1 linux x64", ["yarn", "1.22.19", "linux", "amd64"]),
        ("bun/1.0.21", ["bun", "1.0.21", "-", "-"]),
        ("cargo/1.92.0-nightly (344c4567c 2025-10-21)", ["cargo", "1.92.0-nightly", "-", "-"]),
        ("cargo 1.74.0 (ecb9851af 2023-10-18)", ["cargo", "1.74.0", "-", "-"]),
        ("Apache-Maven/3.9.5 (Java 17.0.8; Linux 5.15.0-88-generic)", ["maven", "3.9.5", "linux", "-"]),
        (
            "Gradle/8.5 (Linux;5.15.0-91-generic;amd64) (Eclipse Adoptium;17.0.9;17.0.9+9)",
            ["gradle", "8.5", "linux", "amd64"],
        ),
        (
            "Ruby, RubyGems/2.4.6 x86_64-linux Ruby/2.1.6 (2015-04-13 patchlevel 336)",
            ["rubygems", "2.4.6", "linux", "amd64"],
        ),
        ("Homebrew/0.9.9 (Macintosh; Intel macOS 10.12.0) curl/7.43.0", ["homebrew", "0.9.9", "macos", "-"]),
        ("Homebrew 0.9.5 (Ruby 2.0.0-481; Mac OS X 10.10.1)", ["homebrew", "0.9.5", "macos", "-"]),
        ("Bazel/release 7.6.2", ["bazel", "7.6.2", "-", "-"]),
        ("curl/8.4.0 Nix/2.18.1", ["nix", "2.18.1", "-", "-"]),
        (
            "Composer/2.6.5 (Linux; 5.15.0; PHP 8.2.12; cURL 7.88.1; Platform-PHP 8.2)",
            ["composer", "2.6.5", "linux", "-"],
        ),
        ("jib 3.1.4 jib-gradle-plugin Google-HTTP-Java-Client/1.38.0", ["jib", "3.1.4", "-", "-"]),
        ("GoModuleMirror/1.0 (+https://proxy.golang.org)", ["go-module-mirror", "1.0", "-", "-"]),
    ]);
}

#[test]
fn pip_and_uv_say_their_machine_in_json() {
    let pip = r#"pip/18.0 {"cpu":"x86_64","distro":{"name":"macOS","version":"10.13.6"},"installer":{"name":"pip","version":"18.0"},"python":"3.5.3","system":{"name":"Darwin","release":"17.7.0"}}"#;
    check(pip, ["pip", "18.0", "macos", "amd64"]);
    let uv = r#"uv/0.1.22 {"installer":{"name":"uv","version":"0.1.22"},"python":"3.12.2","distro":null,"system":{"name":"Windows","release":"2022Server"},"cpu":"AMD64","ci":true}"#;
    check(uv, ["uv", "0.1.22", "windows", "amd64"]);
    assert!(recognize(uv).ci);
    assert!(!recognize(pip).ci);
    let long = format!(
        r#"pip/23.0 {{"ci":true,"cpu":"x86_64","distro":{{"name":"{}"}},"system":{{"name":"Linux"}}}}"#,
        "x".repeat(2000)
    );
    check(&long, ["pip", "23.0", "-", "amd64"]);
    assert!(recognize(&long).ci, "what was not cut off still counts");
    check(r#"pip/21.0 {"cpu":"aarch64","system":{"name":"Linux","rel"#, ["pip", "21.0", "linux", "arm64"]);
}

#[test]
fn a_build_that_says_so_is_one() {
    let says = |user_agent: &str| recognize(user_agent).ci;
    assert!(says("npm/10.2.4 node/v20.11.0 linux x64 workspaces/false ci/github-actions"));
    assert!(says("Composer/2.6.5 (Linux; 5.15.0; PHP 8.2.12; cURL 7.88.1; CI)"));
    let bundler = "bundler/2.6.3 rubygems/3.6.3 ruby/3.4.1 (x86_64-pc-linux-gnu) command/install options/path ci/github,ci 0123456789abcdef";
    check(bundler, ["bundler", "2.6.3", "linux", "amd64"]);
    assert!(says(bundler));
    assert!(says("docker/24.0.7 os/linux UpstreamClient(compose/v2 ci/gitlab)"));
    assert!(!says("npm/10.2.4 node/v20.11.0 linux x64 workspaces/false ci/false"));
    assert!(!says("npm/10.2.4 node/v20.11.0 linux x64 workspaces/false"));
    assert!(!says("ci"));
}
