//! The documentation says what the code does.

use super::*;

/// What the page should hold after its mark.
fn expected() -> String {
    let mut lines = vec![String::new(), "## Who or what asked".to_owned(), String::new()];
    lines.push("The first rule that holds decides.\n\n| `automation` | when |\n|---|---|".to_owned());
    lines.extend(automation_rules().map(|(automation, when)| format!("| `{}` | {when} |", automation.as_str())));
    lines.push(format!("| `{}` | else |", Automation::Unknown.as_str()));
    let mut rows: Vec<(Program, Vec<String>)> = Vec::new();
    for line in table::CLIENTS.lines() {
        if let Some(section) = line.strip_prefix("## ") {
            lines.extend(rows.drain(..).map(shown));
            lines.push(format!("\n## {section}\n\n| `client` | class | user agents |\n|---|---|---|"));
        } else if let Some(program) = Program::read(line) {
            let sign = program.shown_sign();
            match rows.iter_mut().find(|(known, _)| (known.name, known.class) == (program.name, program.class)) {
                Some((_, signs)) => signs.push(sign),
                None => rows.push((program, vec![sign])),
            }
        }
    }
    lines.extend(rows.drain(..).map(shown));
    lines.join("\n") + "\n"
}

fn shown((program, signs): (Program, Vec<String>)) -> String {
    format!("| `{}` | {} | {} |", program.name, program.class.as_str(), signs.join(", "))
}

#[test]
fn the_page_of_recognized_clients_is_what_the_table_says() {
    let page = include_str!("../../../../docs/clients-recognized.md");
    let (before, after) = page.split_once(MARK).expect("the page has a mark where the tables begin");
    if after != expected() && std::env::var_os("WRITE_DOCS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clients-recognized.md");
        std::fs::write(path, format!("{before}{MARK}{}", expected())).expect("the page can be written");
        return;
    }
    assert!(
        after == expected(),
        "docs/clients-recognized.md differs from the code; WRITE_DOCS=1 in the test's environment writes it"
    );
}

const MARK: &str = "<!-- What follows is written by a test: enrich/src/client/tests/page.rs -->\n";
