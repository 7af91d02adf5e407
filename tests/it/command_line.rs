//! Wrong use is told, with what to do.

use crate::support::{repository, whopulls};

#[test]
fn check_accepts_the_example_and_tells_every_mistake_of_another() {
    let example = repository().join("docs/whopulls.example.toml");
    whopulls(&["check", "--config", example.to_str().expect("a text path")]).expect_success();
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("bad.toml");
    let text = "dta = 'x'\n[gateway]\nlisten = 5\n[[route]]\nid = 'a'\nkind = 'file'\nmatch = '/{x'\nto = 'https://x.example.org/'\n";
    std::fs::write(&bad, text).expect("a file");
    let output = whopulls(&["check", "--config", bad.to_str().expect("a text path")]);
    assert!(!output.success);
    for part in ["line 1", "did you mean `data`", "line 3", "gateway.listen"] {
        assert!(output.stderr.contains(part), "{part} in\n{}", output.stderr);
    }
    std::fs::write(&bad, text.replace("dta", "data").replace("listen = 5", "listen = '127.0.0.1:0'")).expect("a file");
    let output = whopulls(&["check", "--config", bad.to_str().expect("a text path")]);
    assert!(!output.success && output.stderr.contains("line 4"), "a bad pattern has a line: {}", output.stderr);
}

#[test]
fn check_reads_the_files_that_the_gateway_would_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let check = |tls: &str, upstream: &str| {
        let text = format!(
            "data = '/nowhere'\n[gateway]\nlisten = '127.0.0.1:0'\ntls_listen = '127.0.0.1:0'\n{tls}[[upstream]]\nid = 'u'\nurl = 'https://u.example.org'\n{upstream}"
        );
        std::fs::write(file("c.toml"), text).expect("a file");
        let output = whopulls(&["check", "--config", &file("c.toml")]);
        assert!(!output.success, "{}", output.stdout);
        output.stderr
    };
    std::fs::write(file("empty.pem"), "nothing\n").expect("a file");
    let (empty, none) = (file("empty.pem"), file("none.pem"));
    let said = check(&format!("[[tls.certificates]]\ncert_file = '{empty}'\nkey_file = '{none}'\n"), "");
    assert!(said.contains(&none), "{said}");
    let said = check("[tls.acme]\ndomains = ['a.example.org']\n", &format!("ca_file = '{empty}'\n"));
    assert!(said.contains(&empty) && said.contains("no certificate"), "{said}");
    let said =
        check("[tls.acme]\ndomains = ['a.example.org']\n", &format!("username = 'u'\npassword_file = '{none}'\n"));
    assert!(said.contains(&none), "{said}");
}

#[test]
fn a_question_without_a_table_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = whopulls(&["sql", "--data", folder.path().to_str().expect("a text path"), "select 1 from events"]);
    assert!(!output.success && output.stderr.contains("no table"), "{}", output.stderr);
    let output = whopulls(&["sql", "select 1"]);
    assert!(!output.success && output.stderr.contains("--data"), "{}", output.stderr);
}

#[test]
fn a_statement_that_writes_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = whopulls(&["sql", "--data", folder.path().to_str().expect("a text path"), "drop table events"]);
    assert!(!output.success, "{}", output.stdout);
}
