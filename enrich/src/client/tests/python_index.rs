//! The examples with which the Python package index tests its own parser: what they say, ours must say.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::geo::tests::shared;

/// One example: its values by their path, `installer.name`, `system.name`, …
type Example = BTreeMap<String, String>;

/// Reads `- ua: …` and the indented names and values that follow: all of YAML that these files use.
fn examples(yaml: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in yaml.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let content = line.trim_start_matches([' ', '-']);
        let indent = line.len() - content.len();
        let (key, value) = content.split_once(':').expect("a name and a value");
        if line.starts_with('-') {
            found.push(Example::new());
            path.clear();
        }
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key.to_owned()));
        let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).filter(|name| *name != "result").collect();
        let example = found.last_mut().expect("a file begins with an example");
        if !value.is_empty() {
            example.insert(names.join("."), unquoted(value.trim()));
        }
    }
    found
}

fn unquoted(value: &str) -> String {
    match (value.strip_prefix('\''), value.strip_prefix('"')) {
        (Some(inner), _) => inner.trim_end_matches('\'').replace("''", "'"),
        (_, Some(inner)) => inner.trim_end_matches('"').replace("\\\"", "\""),
        _ => value.to_owned(),
    }
}

/// Our word for an installer.
fn name_of(example: &Example) -> Option<String> {
    let name = example.get("installer.name")?;
    Some(match name.as_str() {
        "OS" => "fetch".to_owned(),
        "Browser" => "chrome".to_owned(),
        other => other.to_lowercase(),
    })
}

/// Our word for a system.
fn os_of(example: &Example) -> Option<&'static str> {
    let system = example.get("system.name").or_else(|| example.get("distro.name"))?;
    Some(match system.as_str() {
        "Darwin" | "OS X" => "macos",
        "Linux" => "linux",
        "Windows" => "windows",
        other => panic!("{other} has no name here"),
    })
}

/// Our word for an architecture.
fn arch_of(example: &Example) -> Option<&'static str> {
    Some(match example.get("cpu")?.as_str() {
        "x86_64" | "AMD64" => "amd64",
        "arm64" => "arm64",
        other => panic!("{other} has no name here"),
    })
}

#[track_caller]
fn check_example(example: &Example) {
    let user_agent = example.get("ua").expect("each example has a user agent");
    let client = recognize(user_agent);
    if example.get("").is_some_and(|result| result == "null") {
        assert_eq!(client, Client::default(), "{user_agent}");
    }
    if let Some(name) = name_of(example) {
        assert_eq!(client.name, Some(name.as_str()), "{user_agent}");
    }
    if let Some(version) = example.get("installer.version") {
        assert_eq!(client.version.as_ref(), Some(version), "{user_agent}");
    }
    if let Some(os) = os_of(example) {
        assert_eq!(client.os, Some(os), "{user_agent}");
    }
    if let Some(arch) = arch_of(example) {
        assert_eq!(client.arch, Some(arch), "{user_agent}");
    }
    assert_eq!(client.ci, example.get("ci").is_some_and(|ci| ci == "true"), "{user_agent}");
}

#[test]
fn every_example_says_the_same_here() {
    let Some(folder) = shared("logs/formats/pypi_user_agents") else { return };
    let (mut files, mut read) = (0, 0);
    for file in fs::read_dir(folder).expect("a folder") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("text");
        let examples = examples(&text);
        assert_eq!(examples.len(), text.lines().filter(|line| line.starts_with("- ua:")).count());
        examples.iter().for_each(check_example);
        read += examples.len();
        files += 1;
    }
    assert_eq!((files, read), (23, 33));
}

#[test]
fn an_example_is_read_by_its_indents() {
    let read = examples(
        "- ua: 'a {\"b\":''c''}'\n  result:\n    installer:\n      name: a\n      version: '1.0'\n    cpu: x\n",
    );
    let expected = [("ua", "a {\"b\":'c'}"), ("installer.name", "a"), ("installer.version", "1.0"), ("cpu", "x")];
    let expected: Example = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(read, [expected]);
}
