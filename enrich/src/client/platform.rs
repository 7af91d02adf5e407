//! Operating system and architecture, by the words that user agents have for them.

use std::sync::LazyLock;

use super::words::Words;

/// What a user agent says of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: Option<&'static str>,
    pub(super) arch: Option<&'static str>,
}

impl Platform {
    /// What a text in lower case says.
    pub(super) fn of(lower: &str) -> Self {
        Self { os: os_of(lower), arch: arch_of(lower) }
    }
}

/// The system that a text in lower case names; its distribution, where it says that alone, as APT does.
pub(super) fn os_of(lower: &str) -> Option<&'static str> {
    static WORDS: LazyLock<Words> = LazyLock::new(|| Words::new(OS.iter().copied()));
    let distribution = || DISTRIBUTIONS.iter().find(|name| lower.contains(**name)).copied();
    WORDS.find(lower).or_else(distribution)
}

/// The architecture that a text in lower case names, as image platforms name it.
pub(super) fn arch_of(lower: &str) -> Option<&'static str> {
    static WORDS: LazyLock<Words> = LazyLock::new(|| Words::new(ARCH.iter().copied()));
    WORDS.find(lower)
}

/// Android says Linux too, and iOS says Mac OS X too: they go first.
const OS: &[(&str, &str)] = &[
    ("windows phone*", "windows"),
    ("android*", "android"),
    ("iphone*", "ios"),
    ("ipad*", "ios"),
    ("ipod*", "ios"),
    ("ios", "ios"),
    ("windows*", "windows"),
    ("win32*", "windows"),
    ("win64*", "windows"),
    ("mingw*", "windows"),
    ("cygwin*", "windows"),
    ("msys*", "windows"),
    ("darwin*", "macos"),
    ("macintosh*", "macos"),
    ("macos*", "macos"),
    ("mac os*", "macos"),
    ("freebsd*", "freebsd"),
    ("openbsd*", "openbsd"),
    ("netbsd*", "netbsd"),
    ("sunos*", "solaris"),
    ("cros", "chromeos"),
    ("linux*", "linux"),
];

/// `1.0.1ubuntu2` is a version of Ubuntu's, although Debian stands before it: Ubuntu goes first.
const DISTRIBUTIONS: &[&str] = &["ubuntu", "debian", "fedora", "centos", "red hat", "alpine", "suse", "nixos"];

const ARCH: &[(&str, &str)] = &[
    ("x86_64*", "amd64"),
    ("amd64*", "amd64"),
    ("x86-64*", "amd64"),
    ("win64*", "amd64"),
    ("wow64*", "amd64"),
    ("x64", "amd64"),
    ("aarch64*", "arm64"),
    ("arm64*", "arm64"),
    ("armv8*", "arm64"),
    ("armv7*", "arm"),
    ("armv6*", "arm"),
    ("armhf*", "arm"),
    ("armel*", "arm"),
    ("arm", "arm"),
    ("ppc64le*", "ppc64le"),
    ("ppc64el*", "ppc64le"),
    ("s390x*", "s390x"),
    ("riscv64*", "riscv64"),
    ("loongarch64*", "loong64"),
    ("loong64*", "loong64"),
    ("mips64le*", "mips64le"),
    ("i386*", "386"),
    ("i486*", "386"),
    ("i586*", "386"),
    ("i686*", "386"),
    ("ia32", "386"),
    ("x86", "386"),
];
