//! What words in a registered network name speak for: the table, in order of precedence.

use super::NetworkKind::{self, Education, Government, Hosting, Isp, Mobile, Vpn};

/// How a rule's word is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    /// The whole word, or words.
    Whole,
    /// The beginning of a word.
    Start,
    /// The end of a word.
    End,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRule {
    /// What it speaks for.
    pub kind: NetworkKind,
    /// The word, or several with single spaces, in lower case.
    pub word: &'static str,
    how: Match,
}

/// The first rule that applies to a registered name.
pub fn rule_for(registered: &str) -> Option<NameRule> {
    matches(registered).into_iter().next()
}

/// The first rule of each kind that applies to a registered name, in the table's order.
pub(super) fn matches(registered: &str) -> Vec<NameRule> {
    let words = normalize(registered);
    let mut found: Vec<NameRule> = Vec::new();
    for rule in table() {
        if found.last().is_none_or(|last| last.kind != rule.kind) && applies(&rule, &words) {
            found.push(rule);
        }
    }
    found
}

/// Lower case, with a single space before, between and after the words, so that whole words can be found with their spaces.
fn normalize(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 2);
    words.push(' ');
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() {
            words.push(character);
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

fn applies(rule: &NameRule, words: &str) -> bool {
    words.match_indices(rule.word).any(|(start, found)| {
        let begins = words.get(..start).is_some_and(|before| before.ends_with(' '));
        let ends = words.get(start + found.len()..).is_some_and(|after| after.starts_with(' '));
        match rule.how {
            Match::Whole => begins && ends,
            Match::Start => begins,
            Match::End => ends,
        }
    })
}

fn table() -> impl Iterator<Item = NameRule> {
    TABLE.iter().flat_map(|(kind, how, words)| words.iter().map(|word| NameRule { kind: *kind, word, how: *how }))
}

/// Kind, how, words. A kind that stands higher goes before one that stands lower; the lines of one kind stand together.
#[rustfmt::skip]
const TABLE: &[(NetworkKind, Match, &[&str])] = &[
    (Vpn, Match::Whole, &["vpn", "vpns"]),
    (Education, Match::Start, &[
        "universi", "hochschul", "fachhochschul", "polytech", "politec", "akademi", "academi", "scientif", "wissenschaft",
    ]),
    (Education, Match::End, &["universitaet", "universiteit", "hochschule"]),
    (Education, Match::Whole, &[
        "univ", "college", "colleges", "school", "schools", "school district", "institute", "institutes", "institut",
        "instituto", "istituto", "instytut", "institutions of higher", "academy", "faculty", "ecole", "escuela", "escola",
        "schule", "lycee", "education", "educational", "educacao", "educacion", "edu", "research network",
        "research institute", "research center", "research centre", "research and education", "national laboratory",
        "nauk", "library", "libraries", "observatory",
    ]),
    (Government, Match::Start, &["ministr", "minister", "municipal", "governmen", "gouvernement", "bundesamt", "landratsamt"]),
    (Government, Match::Whole, &[
        "govt", "gov", "governo", "gobierno", "department of", "dept of", "city of", "county of", "state of", "town of",
        "province of", "commonwealth of", "prefeitura", "ayuntamiento", "gemeente", "kanton", "kantons", "stadt", "parliament",
        "parlament", "senate", "supreme court", "police", "polizei", "army", "navy", "air force", "armed forces", "defense",
        "defence", "federal agency", "government agency", "state budgetary institution", "national bank", "central bank",
    ]),
    (Hosting, Match::Start, &["hosting", "webhost", "datacent", "datacentr", "rechenzentr", "colocation"]),
    (Hosting, Match::End, &["hosting", "cloud"]),
    (Hosting, Match::Whole, &[
        "host", "hosts", "hosted", "hoster", "server", "servers", "vps", "data center", "data centers", "data centre",
        "data centres", "data centrum", "dedicated", "colo", "cdn", "idc", "web services", "web hosting", "infrastructure as a service",
    ]),
    (Mobile, Match::Start, &["cellular"]),
    (Mobile, Match::Whole, &["mobile", "mobil", "movil", "moviles", "gsm"]),
    (Isp, Match::Start, &[
        "telecom", "telekom", "telecommunicat", "telecomunica", "telefon", "teleph", "telco", "cablevision", "comunicac",
        "comunicazion", "kommunik", "broadband", "provedor",
    ]),
    (Isp, Match::End, &["telecom", "telekom", "telco", "broadband", "cable"]),
    (Isp, Match::Whole, &[
        "cable", "wireless", "communications", "communication", "isp", "fibre", "fiber", "fibra", "internet", "internet service",
        "internet services", "wifi", "dsl", "satellite", "connect", "carrier", "backbone", "netcom",
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<(NetworkKind, &str)>) {
        assert_eq!(rule_for(name).map(|rule| (rule.kind, rule.word)), expected, "{name}");
    }

    #[test]
    fn whole_words_are_not_found_inside_others() {
        check("Eduardo Silva", None);
        check("Ghosts of Colorado", None);
        check("INSTITUTO FEDERAL", Some((Education, "instituto")));
        check("Universidade Federal de Santa Catarina", Some((Education, "universi")));
        check("SuperHosting.BG Ltd.", Some((Hosting, "hosting")));
        check("X-Data Center GmbH", Some((Hosting, "data center")));
        check("\"Bashtelecom\" LLC", Some((Isp, "telecom")));
    }

    #[test]
    fn the_kind_that_stands_higher_decides() {
        check("Ministry of Communications", Some((Government, "ministr")));
        check("University Hosting Services", Some((Education, "universi")));
    }

    #[test]
    fn every_word_is_in_normal_form_and_the_kinds_stand_together() {
        let mut kinds: Vec<NetworkKind> = table().map(|rule| rule.kind).collect();
        kinds.dedup();
        let mut distinct = kinds.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(kinds.len(), distinct.len(), "a kind stands in two places");
        for rule in table() {
            assert_eq!(normalize(rule.word).trim(), rule.word);
        }
    }
}
