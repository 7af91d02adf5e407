//! Logs of real servers.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::geo::tests::shared;

fn lines(name: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(shared("logs")?.join(name)).expect("the folder has it");
    Some(text.lines().map(str::to_owned).collect())
}

/// The last field in quotes of a line in the combined format.
fn user_agent(line: &str) -> &str {
    line.rsplit('"').nth(1).unwrap_or_default()
}

fn names(log: &[String]) -> BTreeMap<&'static str, usize> {
    let mut count = BTreeMap::new();
    for line in log {
        *count.entry(recognize(user_agent(line)).name.unwrap_or("-")).or_default() += 1;
    }
    count
}

#[test]
fn apt_is_recognized_in_exactly_the_lines_that_have_it() {
    let Some(log) = lines("nginx_package_downloads.log") else { return };
    let apt = log.iter().filter(|line| line.contains("APT-HTTP")).count();
    assert!(log.iter().all(|line| line.contains("APT-HTTP") == (recognize(user_agent(line)).name == Some("apt"))));
    assert_eq!(apt, 13_310, "as `grep -c APT-HTTP` says");
    assert!(log.iter().filter(|line| line.contains("APT-HTTP")).all(|line| {
        let client = recognize(user_agent(line));
        client.version.is_some() && matches!(client.os, Some("debian" | "ubuntu"))
    }));
}

#[test]
fn nearly_all_user_agents_of_a_package_server_are_recognized() {
    let Some(log) = lines("nginx_package_downloads.log") else { return };
    let names = names(&log);
    let of = |name| names.get(name).copied().unwrap_or_default();
    assert_eq!((log.len(), of("-")), (14_575, 12), "`-` and `None` are unknown, nothing else");
    assert_eq!((of("yum"), of("wget"), of("apt-cacher-ng")), (509, 196, 170));
    assert!(log.iter().all(|line| !recognize(user_agent(line)).bot), "nobody there is a robot");
}

#[test]
fn what_is_said_of_a_web_server_are_browsers_and_robots() {
    let Some(log) = lines("apache_logs_elastic.log") else { return };
    let clients: Vec<Client> = log.iter().map(|line| recognize(user_agent(line))).collect();
    let count = |holds: fn(&Client) -> bool| clients.iter().filter(|client| holds(client)).count();
    let browsers = count(|client| client.class == Some(Class::Browser));
    let bots = count(|client| client.bot);
    assert_eq!((log.len(), browsers, bots), (10_000, 7_096, 2_572));
    let names_google = |line: &&String| user_agent(line).to_lowercase().contains("googlebot/");
    assert!(log.iter().filter(names_google).all(|line| recognize(user_agent(line)).name == Some("googlebot")));
}

#[test]
fn every_installer_in_a_log_of_the_python_index_is_recognized() {
    for (name, least) in [("formats/pypi_linehaul_downloads.log", 1), ("formats/pypi_linehaul_simple.log", 1)] {
        let Some(log) = lines(name) else { return };
        let mut read = 0;
        for line in &log {
            let Some(start) = line.find("|pip/") else { continue };
            let user_agent = line.get(start + 1..).unwrap_or_default();
            let client = recognize(user_agent);
            assert_eq!(client.name, Some("pip"), "{user_agent}");
            assert!(client.version.is_some() && client.os.is_some() && client.arch.is_some(), "{user_agent}");
            assert_eq!(client.ci, user_agent.contains("\"ci\":true"), "{user_agent}");
            read += 1;
        }
        assert!(read >= least, "{name}: only {read}");
    }
}

#[test]
fn every_client_in_a_log_of_the_crates_index_is_recognized() {
    let Some(log) = lines("formats/cratesio_fastly_full-info.log") else { return };
    let mut read = 0;
    for line in &log {
        let Some((_, rest)) = line.split_once("\"useragent\":\"") else { continue };
        let client = recognize(rest.split('"').next().unwrap_or_default());
        assert!(client.name.is_some() && client.version.is_some(), "{line}");
        read += 1;
    }
    assert!(read > 0);
}
