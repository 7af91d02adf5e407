//! User agents of each family, real ones; the files of other projects and real logs; the page of the documentation; hostile input.

mod containers;
mod hostile;
mod logs;
mod packages;
mod page;
mod python_index;
mod web;

use super::*;

/// Name, version, system, architecture; `-` for what is not said.
#[track_caller]
fn check(user_agent: &str, expected: [&str; 4]) {
    let client = recognize(user_agent);
    let version = client.version.as_deref();
    let found = [client.name, version, client.os, client.arch].map(|part| part.unwrap_or("-"));
    assert_eq!(found, expected, "{user_agent}");
}

/// The same of many.
#[track_caller]
fn check_all(table: &[(&str, [&str; 4])]) {
    for (user_agent, expected) in table {
        check(user_agent, *expected);
    }
}

#[test]
fn every_line_of_the_table_is_whole() {
    let mut programs = 0;
    for line in table::CLIENTS.lines().filter(|line| !line.starts_with('#')) {
        let program = Program::read(line);
        assert!(program.is_some(), "{line}");
        assert_eq!(line.matches(',').count(), 4, "{line}");
        let text = line.split(',').nth(3).unwrap_or_default();
        assert!(!line.contains(",contains,") || text == text.to_lowercase(), "{line}");
        let after = line.split(",after:").nth(1).unwrap_or_default();
        assert!(after == after.to_lowercase(), "{line}");
        programs += 1;
    }
    assert!(programs > 200, "only {programs}");
}

#[test]
fn every_name_is_in_lower_case() {
    for program in table::CLIENTS.lines().filter_map(Program::read) {
        assert_eq!(program.name, program.name.to_lowercase());
    }
}

/// A line that an earlier one covers would never be reached.
#[test]
fn every_product_of_the_table_is_found_under_its_own_name() {
    for line in table::CLIENTS.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(',');
        let (name, sign, text) = (fields.next(), fields.nth(1), fields.next().unwrap_or_default());
        let user_agent = match sign {
            Some("within") => format!("Mozilla/5.0 {text}/1.0"),
            Some("contains") => format!("Mozilla/5.0 ({text}1.0)"),
            _ => format!("{text}/1.0"),
        };
        assert_eq!(recognize(&user_agent).name, name, "{line}");
    }
}
