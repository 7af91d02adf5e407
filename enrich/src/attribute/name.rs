//! A registered network name made readable: handles, doubled names and legal forms cleaned away.

/// Endings that say only in which legal form an organization exists.
const LEGAL_FORMS: &[&str] = &[
    "a/s",
    "a.s.",
    "ab",
    "ag",
    "as",
    "b.v.",
    "bv",
    "co",
    "co.",
    "corp",
    "corp.",
    "corporation",
    "d.o.o.",
    "e.v.",
    "ead",
    "gmbh",
    "inc",
    "inc.",
    "incorporated",
    "jsc",
    "kft.",
    "limited",
    "llc",
    "llc.",
    "llp",
    "lp",
    "ltd",
    "ltd.",
    "ltda",
    "ltda.",
    "mbh",
    "n.v.",
    "nv",
    "ojsc",
    "oy",
    "oyj",
    "pjsc",
    "plc",
    "private",
    "pt",
    "pte",
    "pte.",
    "pty",
    "pvt",
    "pvt.",
    "s.a.",
    "s.a.s.",
    "s.l.",
    "s.p.a.",
    "s.r.l.",
    "s.r.o.",
    "sa",
    "sarl",
    "sas",
    "spa",
    "srl",
];

/// The readable part of a registered name; the name itself when nothing would be left.
pub fn clean(registered: &str) -> String {
    let unquoted = registered.replace(['"', '\u{201c}', '\u{201d}'], " ");
    let words: Vec<&str> = without_handle(&unquoted).split_whitespace().collect();
    let mut kept = words.as_slice();
    while let [rest @ .., last] = kept
        && !rest.is_empty()
        && (is_legal_form(last) || *last == "-")
        && !matches!(rest, [.., "and" | "&" | "of" | "for"])
    {
        kept = rest;
    }
    let cleaned = kept.join(" ");
    let cleaned = cleaned.trim_end_matches([',', ';', '-', ' ']);
    if cleaned.is_empty() { registered.trim().to_owned() } else { cleaned.to_owned() }
}

fn is_legal_form(word: &str) -> bool {
    let word = word.trim_matches(',').to_lowercase();
    LEGAL_FORMS.contains(&word.as_str())
}

/// `AS6147 - Name`, `HANDLE-AP - Name`, `Name - Name` and `Some_Handle Name` without what stands before the name.
fn without_handle(name: &str) -> &str {
    let name = name.trim();
    if let Some((before, after)) = name.split_once(" - ")
        && !after.trim().is_empty()
        && (is_handle(before) || before.trim() == after.trim())
    {
        return after.trim();
    }
    match name.split_once(' ') {
        Some((first, rest)) if first.contains('_') => rest,
        _ => name,
    }
}

/// One word in capitals, or with a mark that no name has.
fn is_handle(word: &str) -> bool {
    let word = word.trim();
    !word.contains(' ') && (word.contains(['-', '_']) || !word.chars().any(char::is_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(registered: &str, expected: &str) {
        assert_eq!(clean(registered), expected);
    }

    #[test]
    fn handles_doubled_names_and_legal_forms_are_cleaned_away() {
        check("AS272116 - INSTITUTO NACIONAL DE TECNOLOGIA", "INSTITUTO NACIONAL DE TECNOLOGIA");
        check("UTnet - The University of Tokyo", "UTnet - The University of Tokyo");
        check("Telkom SA Ltd. - Telkom SA Ltd.", "Telkom");
        check("Fraunhofer e.V.", "Fraunhofer");
        check("SAP_DC_WDF SAP SE", "SAP SE");
        check("\"Kyivstar\" PJSC", "Kyivstar");
        check("Acme Widgets, Inc.", "Acme Widgets");
        check("Merck and Co., Inc.", "Merck and Co.");
    }

    #[test]
    fn a_name_of_nothing_else_is_kept() {
        check("AS", "AS");
        check("  SA Ltd ", "SA");
        check("", "");
    }
}
