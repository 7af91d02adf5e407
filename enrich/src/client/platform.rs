//! Operating system and architecture, by the words that user agents have for them.

/// What a user agent says of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: Option<&'static str>,
    pub(super) arch: Option<&'static str>,
}

impl Platform {
    /// Looks for the first known word of each table.
    pub(super) fn of(text: &str) -> Self {
        Self { os: os_of(text), arch: arch_of(text) }
    }
}

/// The system that a text names. Android says Linux too, and iOS says Mac OS X too: they go first.
pub(super) fn os_of(text: &str) -> Option<&'static str> {
    first(OS, text)
}

/// The architecture that a text names, as image platforms name it.
pub(super) fn arch_of(text: &str) -> Option<&'static str> {
    first(ARCH, text)
}

const OS: &[(&str, &str)] = &[
    ("android", "android"),
    ("iphone", "ios"),
    ("ipad", "ios"),
    ("windows", "windows"),
    ("darwin", "macos"),
    ("macintosh", "macos"),
    ("macos", "macos"),
    ("mac os x", "macos"),
    ("freebsd", "freebsd"),
    ("linux", "linux"),
    ("ubuntu", "linux"),
    ("debian", "linux"),
    ("win32", "windows"),
    ("win64", "windows"),
];

const ARCH: &[(&str, &str)] = &[
    ("x86_64", "amd64"),
    ("amd64", "amd64"),
    ("x86-64", "amd64"),
    ("win64", "amd64"),
    ("wow64", "amd64"),
    ("x64", "amd64"),
    ("aarch64", "arm64"),
    ("arm64", "arm64"),
    ("armv7", "arm"),
    ("armv6", "arm"),
    ("armhf", "arm"),
    ("ppc64le", "ppc64le"),
    ("s390x", "s390x"),
    ("riscv64", "riscv64"),
    ("i386", "386"),
    ("i586", "386"),
    ("i686", "386"),
];

fn first(table: &[(&str, &'static str)], text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    table.iter().find(|(word, _)| contains_word(&text, word)).map(|(_, name)| *name)
}

/// Whether a text has a word that no letter or digit continues on the left: `darwin` is in `(darwin)`, not in `mydarwin`.
fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        text.get(..start).is_some_and(|before| !before.ends_with(|last: char| last.is_ascii_alphanumeric()))
    })
}
