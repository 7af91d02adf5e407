//! `[[geo.source]]`: every mistake at once, and no secret in any message.

use std::path::Path;

use whopulls_schemas::config::{Config, GeoChecksum, SecretSource};

const DIGEST: &str = "E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn source(lines: &str) -> String {
    format!("[[geo.source]]\nfile = 'geo/asn.mmdb'\n{lines}\n")
}

#[track_caller]
fn refuses(lines: &str, parts: &[&str]) {
    let told = Config::parse("f", &source(lines), &[]).expect_err("a mistake").to_string();
    for part in parts {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_source_has_a_file_a_url_and_one_checksum() {
    let login = "username = '12345'\npassword_file = '/run/secrets/licence'";
    let text = source(&format!(
        "url = 'https://a.example.org/asn?suffix=tar.gz'\nsha256_url = 'https://a.example.org/asn?suffix=tar.gz.sha256'\n{login}"
    ));
    let text =
        format!("{text}[[geo.source]]\nfile = 'b.mmdb'\nurl = 'http://b.example.org/b.mmdb'\nsha256 = '{DIGEST}'\n");
    let config = Config::parse("f", &text, &[]).expect("right");
    let [asn, other] = config.geo.sources.as_slice() else { panic!("{config:?}") };
    assert_eq!((asn.file.as_path(), asn.line, other.line), (Path::new("geo/asn.mmdb"), 1, 7));
    assert_eq!(asn.url.reveal().as_str(), "https://a.example.org/asn?suffix=tar.gz");
    assert!(matches!(&asn.checksum, GeoChecksum::Url(url) if url.reveal().query() == Some("suffix=tar.gz.sha256")));
    let login = asn.login.as_ref().expect("a login");
    assert_eq!(
        (login.username.as_str(), &login.password),
        ("12345", &SecretSource::File("/run/secrets/licence".into()))
    );
    assert_eq!(other.checksum, GeoChecksum::Sha256(DIGEST.to_ascii_lowercase()));
    assert!(Config::parse("f", "", &[]).expect("right").geo.sources.is_empty());
}

#[test]
fn every_mistake_of_a_source_is_told_at_once() {
    let told =
        Config::parse("f", "[geo]\nsurce = 1\n[[geo.source]]\nfile = 'geo/'\nsha = 'x'\n", &[]).expect_err("mistakes");
    let told = told.to_string();
    for part in [
        "did you mean `source`",
        "line 4",
        "is a folder",
        "`source.url` is missing",
        "one of them",
        "unknown key `source.sha`",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
}

#[test]
fn what_nothing_vouches_for_is_refused() {
    let digest = format!("sha256 = '{DIGEST}'");
    let by_url = "sha256_url = 'https://a.example.org/sum'";
    refuses(&format!("url = 'https://a.example.org/a'\n{digest}\n{by_url}"), &["one of them"]);
    refuses(&format!("url = 'http://a.example.org/a'\n{by_url}"), &["nothing vouches", "use https"]);
    refuses("url = 'https://a.example.org/a'\nsha256_url = 'http://a.example.org/sum'", &["nothing vouches"]);
    refuses("url = 'https://a.example.org/a'\nsha256 = '1234'", &["not a SHA-256"]);
    refuses(&format!("url = 'ftp://a.example.org/a'\n{digest}"), &["not an http or https URL"]);
    refuses(&format!("url = 'https://a.example.org/a#x'\n{digest}"), &["fragment"]);
}

#[test]
fn a_password_stands_in_a_file_and_goes_over_https() {
    let url = format!("url = 'https://a.example.org/a'\nsha256 = '{DIGEST}'");
    refuses(&format!("{url}\nusername = 'u'\npassword = 'hunter2'"), &["in this file", "password_file", "go together"]);
    refuses(&format!("{url}\nusername = 'u'"), &["go together"]);
    refuses(&format!("{url}\nusername = 'u:v'\npassword_file = 'p'"), &["colon"]);
    refuses(&format!("url = 'https://u:hunter2@a.example.org/a'\nsha256 = '{DIGEST}'"), &["holds credentials"]);
    refuses(&format!("url = 'https://a b/?token=hunter2'\nsha256 = '{DIGEST}'"), &["not a URL"]);
    let plain = url.replace("https", "http");
    refuses(&format!("{plain}\nusername = 'u'\npassword_file = 'p'"), &["over http"]);
}

#[test]
fn a_file_has_one_source() {
    let text = source(&format!("url = 'https://a.example.org/a'\nsha256 = '{DIGEST}'"));
    let told = Config::parse("f", &format!("{text}{text}"), &[]).expect_err("a mistake").to_string();
    assert!(told.contains("two sources, the first on line 1"), "{told}");
}

#[test]
fn a_token_in_a_url_does_not_show() {
    let text = source(&format!("url = 'https://a.example.org/asn.mmdb?token=hunter2'\nsha256 = '{DIGEST}'"));
    let config = Config::parse("f", &text, &[]).expect("right");
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    let url = &config.geo.sources.first().expect("a source").url;
    assert_eq!(url.to_string(), "https://a.example.org/asn.mmdb");
}
