//! Robots: crawlers, previews of links, monitors, scanners. The list stands in `bots.csv`; what it lacks is told by the words that
//! robots have in their names and, where one poses as a browser, by the address that it leaves for whom it visits.
//!
//! The maintained lists (crates `isbot`, `woothee`, `iscrawl`, npm's `crawler-user-agents`) take curl, Wget and every HTTP library for
//! robots, which here are clients, or know crawlers of the web alone; docs/clients-recognized.md has the comparison.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::words::Words;

/// What a robot is called that no line names.
const UNNAMED: &str = "bot";

/// With one of these at its end a word names a robot: `somebot`, `somebot2`.
const ENDINGS: [&str; 4] = ["bot", "bots", "robot", "robots"];

/// The bytes of the shortest of them.
const SHORTEST: usize = 3;

/// With one of these anywhere a word names a robot.
const PARTS: [&str; 12] = [
    "crawl",
    "spider",
    "scrape",
    "scraping",
    "slurp",
    "archiver",
    "fetcher",
    "harvest",
    "indexer",
    "checker",
    "validator",
    "headless",
];

/// With one of these a user agent leaves an address. Browsers have none; a program that nobody knows may have one as well as a robot.
const ADDRESSES: [&str; 3] = ["http://", "https://", "mailto:"];

struct List {
    names: Words,
    never: BTreeSet<&'static str>,
}

static LIST: LazyLock<List> = LazyLock::new(|| List::read(include_str!("bots.csv")));

/// The robot of a user agent in lower case: the name that the list has for it, or `bot` for one that only says that it is one.
pub(super) fn bot(lower: &str, is_browser: bool) -> Option<&'static str> {
    let leaves_address = || is_browser && ADDRESSES.iter().any(|address| lower.contains(address));
    LIST.names.find(lower).or_else(|| (says_so(lower, &LIST.never) || leaves_address()).then_some(UNNAMED))
}

fn says_so(lower: &str, never: &BTreeSet<&str>) -> bool {
    let words = lower.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| word.len() >= SHORTEST).any(|word| {
        let name = word.trim_end_matches(|last: char| last.is_ascii_digit());
        let is_one =
            ENDINGS.iter().any(|ending| name.ends_with(ending)) || PARTS.iter().any(|part| word.contains(part));
        is_one && !never.contains(name)
    })
}

impl List {
    fn read(text: &'static str) -> Self {
        let lines = || text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let never = lines().filter_map(|line| line.strip_prefix('!')).collect();
        let listed = lines().filter(|line| !line.starts_with('!'));
        let names = Words::new(listed.map(|line| match line.split_once(',') {
            Some(named) => named,
            None => (line, line.strip_suffix('*').unwrap_or(line)),
        }));
        Self { names, never }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_lower_case_and_names_nothing_twice() {
        let mut seen = BTreeSet::new();
        for line in include_str!("bots.csv").lines().filter(|line| !line.starts_with('#')) {
            let word = line.split(',').next().unwrap_or_default();
            assert!(!word.is_empty() && word == word.to_lowercase() && word.trim() == word, "{line}");
            assert!(line.matches(',').count() <= 1 && word.trim_end_matches('*').len() > 2, "{line}");
            assert!(seen.insert(word.trim_end_matches('*')), "{line} is there twice");
        }
        assert!(seen.len() > 300, "only {}", seen.len());
    }

    #[track_caller]
    fn check(user_agent: &str, expected: Option<&str>) {
        assert_eq!(bot(&user_agent.to_lowercase(), user_agent.starts_with("Mozilla/")), expected, "{user_agent}");
    }

    #[test]
    fn a_robot_is_told_by_the_list_or_by_what_it_says() {
        check("Mozilla/5.0 (compatible; archive.org_bot +http://www.archive.org/)", Some("archive.org_bot"));
        check("Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)", Some("slurp"));
        check("Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)", Some("sogou"));
        check("kube-probe/1.27", Some("kube-probe"));
        check("SomethingNew-bot/1.0", Some("bot"));
        check("newbot2 (x)", Some("bot"));
        check("Mozilla/5.0 (compatible; new; +https://new.example/about)", Some("bot"));
        check("new-tool/1.0 (+https://new.example/about)", None);
    }

    #[test]
    fn a_phone_is_no_robot_by_its_makers_name() {
        check("Mozilla/5.0 (Linux; Android 9; CUBOT_X19 Build/PPR1) Chrome/80.0 Mobile Safari/537.36", None);
        check("Mozilla/5.0 (Linux; Android 6.0; IDbot553 Build/MRA58K) Chrome/54.0 Mobile Safari/537.36", None);
        check("Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) Chrome/80.0 Mobile Safari/537.36", None);
        check("Mozilla/5.0 (Windows NT 6.1; WOW64; rv:27.0) Gecko/20100101 Firefox/27.0", None);
    }
}
