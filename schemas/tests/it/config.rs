//! Mistakes are found all at once, by line, with a hint.

use whopulls_schemas::config::{Config, LakeUrl, Place, RouteRule, Trust};

const EXAMPLE: &str = include_str!("../../../docs/whopulls.example.toml");

fn mistakes(text: &str, environment: &[(&str, &str)]) -> String {
    let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::parse("whopulls.toml", text, &environment).expect_err("mistakes").to_string()
}

#[test]
fn the_example_is_right_as_it_stands_and_with_every_comment_taken_away() {
    Config::parse("example", EXAMPLE, &[]).expect("the example is right");
    let lines: Vec<_> = EXAMPLE.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let uncommented = lines.join("\n");
    assert_ne!(uncommented, EXAMPLE);
    let config = Config::parse("example", &uncommented, &[]).expect("every optional line is right");
    assert!(config.kafka.is_some());
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = r#"
data = 5
[gateway]
listne = "127.0.0.1:8080"
trusted_hops = 99
[[route]]
id = "a"
kind = "oci"
match = "x"
upstream = "ftp://x"
[[route]]
id = "b"
kind = "tape"
[spool]
bytes_max = "10 apples"
[kafka]
password = "hunter2"
[serve]
listen = "0.0.0.0:80"
"#;
    insta::assert_snapshot!(mistakes(text, &[]));
}

#[test]
fn a_clients_token_is_for_one_upstream() {
    let rule = "[[route]]\nid = \"a\"\nkind = \"oci\"\nmatch = \"x\"\nupstream = \"https://a.example.org\"\n";
    let told = mistakes(&format!("{rule}token = \"own_realm\"\nfallback = \"https://b.example.org\"\n"), &[]);
    assert!(told.contains("a client's token is for one upstream"), "{told}");
}

#[test]
fn a_secret_is_never_repeated() {
    assert!(!mistakes("[kafka]\nbrokers = \"b:1\"\npassword = \"hunter2\"\n", &[]).contains("hunter2"));
}

#[test]
fn a_secret_of_the_environment_does_not_show_in_debug() {
    let environment = [("WHOPULLS_KAFKA_PASSWORD".to_owned(), "hunter2".to_owned())];
    let config = Config::parse("f", "[kafka]\nbrokers = \"b:1\"", &environment).expect("right");
    assert!(config.kafka.as_ref().is_some_and(|kafka| kafka.password.is_some()));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn the_environment_lies_over_the_file_and_its_mistakes_carry_its_name() {
    let file = "data = \"d\"\n[gateway]\nlisten = \"127.0.0.1:1\"\n";
    let environment = [
        ("WHOPULLS_GATEWAY_LISTEN".to_owned(), "127.0.0.1:2".to_owned()),
        ("WHOPULLS_GATEWAY_TRUSTED_PROXIES".to_owned(), "127.0.0.0/8, ::1".to_owned()),
        ("WHOPULLS_LAKE_URL".to_owned(), "s3://bucket/path".to_owned()),
        ("WHOPULLS_SPOOL_FSYNC_EVERY_MS".to_owned(), "0".to_owned()),
    ];
    let config = Config::parse("f", file, &environment).expect("right");
    let gateway = config.gateway.as_ref().expect("a gateway");
    assert_eq!(gateway.listen.map(|listen| listen.port()), Some(2));
    assert!(matches!(&gateway.trust, Trust::Networks(networks) if networks.len() == 2));
    assert!(matches!(config.lake_url(), Some(LakeUrl::Store(_))));
    assert_eq!(config.spool.fsync_every_ms, 0);

    let environment = [("WHOPULLS_GATEWAY_LISTEN".to_owned(), "nowhere".to_owned())];
    let mistakes = Config::parse("f", file, &environment).expect_err("a bad address");
    assert_eq!(mistakes.list.len(), 1);
    assert_eq!(mistakes.list[0].place, Place::Variable("WHOPULLS_GATEWAY_LISTEN".to_owned()));
    let environment = [("WHOPULLS_GATEWAY_PORT".to_owned(), "1".to_owned())];
    assert!(Config::parse("f", file, &environment).expect_err("unknown").to_string().contains("unknown key"));
}

#[test]
fn routes_keep_their_order_and_line() {
    let text = "[[route]]\nid='one'\nkind='oci'\nmatch='a/{image}'\nupstream='https://r.example.org'\n\n\
                [[route]]\nid='two'\nkind='file'\nmatch='/f/{version}'\nto='https://x.example.org/{version}'\nstatus=307\n";
    let config = Config::parse("f", text, &[]).expect("right");
    assert_eq!(config.routes.iter().map(|r| (r.id.as_str(), r.line)).collect::<Vec<_>>(), [("one", 1), ("two", 7)]);
    assert!(matches!(&config.routes[1].rule, RouteRule::File(file) if file.status == 307));
    assert!(mistakes(&text.replace("two", "one"), &[]).contains("used twice"));
}

#[test]
fn a_setting_on_which_the_promise_rests_cannot_be_changed() {
    let text = "[kafka]\nbrokers='b:1'\n[kafka.options]\n\"acks\" = \"1\"\n";
    assert!(mistakes(text, &[]).contains("exactly-once"));
}
