use proptest::prelude::*;

use super::*;

#[test]
fn what_nobody_knows_is_none_and_nothing_panics() {
    assert_eq!(recognize(""), Client::default());
    check("None", ["-", "-", "-", "-"]);
    check("(null)", ["-", "-", "-", "-"]);
    for odd in
        ["(((((", "docker/", "/", "\\", "UpstreamClient(", "UpstreamClient(\\", "pip/1 {", "\u{1f433}/1.0 (\u{1f433}"]
    {
        recognize(odd);
    }
    recognize(&("x".repeat(100_000) + " ("));
}

#[test]
fn nesting_and_json_are_bounded() {
    let engines = "docker/1 UpstreamClient(".repeat(10_000);
    assert_eq!(recognize(&engines).name, Some("docker"));
    check(&format!("pip/1.0 {{\"a\":{}", "[".repeat(100_000)), ["pip", "1.0", "-", "-"]);
    check(&format!("pip/1.0 {}", "{\"a\":".repeat(100_000)), ["pip", "1.0", "-", "-"]);
    check(r#"pip/1.0 {"system":["Linux"],"cpu":{"name":1},"ci":"yes"}"#, ["pip", "1.0", "-", "-"]);
    let long = format!("curl/{}", "1".repeat(500));
    assert_eq!(recognize(&long).version.map(|version| version.len()), Some(VERSION_BYTES_MAX));
}

proptest! {
    #[test]
    fn any_text_has_an_answer(text in any::<String>()) {
        recognize(&text);
    }

    /// Pieces of real user agents in any order reach more of the code than random letters.
    #[test]
    fn any_order_of_pieces_has_an_answer(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        let user_agent = pieces.concat();
        let client = recognize(&user_agent);
        prop_assert!(client.version.is_none_or(|version| !version.is_empty() && version.len() <= VERSION_BYTES_MAX));
        prop_assert!(client.name.is_some() || client.class.is_none());
        prop_assert!(!client.bot || matches!(client.class, Some(Class::Bot | Class::Watcher)));
    }

    #[test]
    fn the_case_of_a_name_does_not_matter(upper in prop::sample::select(&["docker/1.0", "curl/8.5.0", "Firefox/1.0 Firefox/1"][..])) {
        prop_assert_eq!(recognize(&upper.to_uppercase()).name, recognize(&upper.to_lowercase()).name);
    }
}

const PIECES: &[&str] = &[
    "docker/24.0.7",
    " UpstreamClient(",
    "\\(",
    "\\",
    "(",
    ")",
    " ",
    "/",
    ";",
    " {",
    "{\"ci\":true}",
    "\"system\":{\"name\":\"Linux\"}",
    "pip/1.0",
    "npm/1",
    "ci/x",
    "Mozilla/5.0",
    "MSIE ",
    "Trident/",
    "rv:",
    "\u{e9}",
    "\u{1f433}",
    "Version/",
    "buf-cli-",
    "Bazel/release ",
    "bot",
    "+http://",
    "regclient",
    "Watchtower/1",
    "v1.2",
    "(verdaccio/",
    "\u{130}",
    "\0",
];
