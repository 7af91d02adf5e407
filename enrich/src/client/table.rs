//! The programs that are known, and how each says its version. The first line that fits decides.

/// How a user agent is recognized.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// It begins with this product: `name`, `name/…` or `name …`, in whatever case.
    Product(&'static str),
    /// It begins with this text, in whatever case.
    Prefix(&'static str),
    /// It has this product somewhere.
    Anywhere(&'static str),
}

/// Where the version stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Version {
    /// After this product's name.
    Product(&'static str),
    /// In the first comment: `Debian APT-HTTP/1.3 (2.6.1)` says the format's version first.
    Comment,
    /// Nowhere.
    None,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    sign: Sign,
    pub(super) version: Version,
}

/// The program of a user agent.
pub(super) fn program(user_agent: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| fits(program.sign, user_agent))
}

/// The robot of a user agent: one that is known by name, or `bot` for one that only says that it is one.
pub(super) fn bot(user_agent: &str) -> Option<&'static str> {
    let lower = user_agent.to_ascii_lowercase();
    BOTS.iter().find(|(word, _)| lower.contains(word)).map(|(_, name)| *name)
}

fn fits(sign: Sign, user_agent: &str) -> bool {
    match sign {
        Sign::Prefix(prefix) => starts_with(user_agent, prefix).is_some(),
        Sign::Product(name) => {
            starts_with(user_agent, name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' ']))
        }
        Sign::Anywhere(name) => {
            super::products::products(user_agent).any(|product| product.name.eq_ignore_ascii_case(name))
        }
    }
}

/// What follows a prefix, whatever its case.
fn starts_with<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A program that says `name/version` first.
const fn usual(name: &'static str) -> Program {
    Program { name, sign: Sign::Product(name), version: Version::Product(name) }
}

/// A program under another product name.
const fn named(name: &'static str, product: &'static str) -> Program {
    Program { name, sign: Sign::Product(product), version: Version::Product(product) }
}

/// A program whose product stands after others.
const fn within(name: &'static str, product: &'static str) -> Program {
    Program { name, sign: Sign::Anywhere(product), version: Version::Product(product) }
}

/// Every browser, and every robot that calls itself one.
pub(super) const BROWSER: &str = "browser";

const PROGRAMS: &[Program] = &[
    // Container tools. BuildKit, nerdctl and CRI-O name themselves; containerd is what most of them build on.
    usual("docker"),
    named("docker", "Docker-Client"),
    usual("buildkit"),
    usual("containerd"),
    usual("nerdctl"),
    usual("cri-o"),
    usual("podman"),
    named("podman", "libpod"),
    usual("buildah"),
    usual("skopeo"),
    usual("crane"),
    usual("gcrane"),
    usual("kaniko"),
    usual("cosign"),
    usual("ko"),
    named("go-containerregistry", "go-containerregistry"),
    named("containers-image", "containers"),
    usual("oras"),
    named("oras", "oras-go"),
    usual("helm"),
    Program { name: "regctl", sign: Sign::Prefix("regclient/regctl"), version: Version::Comment },
    Program { name: "regsync", sign: Sign::Prefix("regclient/regsync"), version: Version::Comment },
    Program { name: "regclient", sign: Sign::Prefix("regclient"), version: Version::Comment },
    usual("regctl"),
    usual("harbor"),
    named("harbor", "harbor-registry-client"),
    usual("artifactory"),
    usual("nexus"),
    usual("flux"),
    usual("argocd"),
    usual("renovate"),
    named("renovate", "RenovateBot"),
    usual("watchtower"),
    // Package managers.
    usual("pip"),
    usual("uv"),
    usual("poetry"),
    usual("pdm"),
    usual("pex"),
    usual("twine"),
    within("setuptools", "setuptools"),
    within("distribute", "distribute"),
    usual("maturin"),
    usual("z3c.pypimirror"),
    usual("pep381client"),
    named("pep381client", "pep381client-proxy"),
    usual("conda"),
    usual("bandersnatch"),
    named("devpi", "devpi-server"),
    usual("homebrew"),
    usual("bazel"),
    usual("npm"),
    usual("pnpm"),
    usual("yarn"),
    usual("bun"),
    usual("cargo"),
    Program {
        name: "apt-cacher-ng",
        sign: Sign::Prefix("Debian Apt-Cacher-NG"),
        version: Version::Product("Apt-Cacher-NG"),
    },
    Program { name: "apt", sign: Sign::Prefix("Debian APT-HTTP"), version: Version::Comment },
    Program { name: "apt", sign: Sign::Prefix("Ubuntu APT-HTTP"), version: Version::Comment },
    Program { name: "apt", sign: Sign::Prefix("Debian APT-"), version: Version::Comment },
    usual("apt-cacher"),
    within("yum", "yum"),
    named("dnf", "libdnf"),
    usual("dnf"),
    named("zypper", "ZYpp"),
    Program { name: "chef", sign: Sign::Prefix("Chef "), version: Version::Product("Client") },
    usual("puppet"),
    usual("ansible-httpget"),
    // Libraries and general clients.
    named("requests", "python-requests"),
    named("urllib", "Python-urllib"),
    named("httpx", "python-httpx"),
    usual("aiohttp"),
    within("fetch", "libfetch"),
    usual("curl"),
    usual("wget"),
    usual("aria2"),
    named("go", "Go-http-client"),
    Program { name: "go", sign: Sign::Prefix("Go 1.1 package http"), version: Version::None },
    named("java", "Java"),
    usual("okhttp"),
    named("apache-httpclient", "Apache-HttpClient"),
    named("powershell", "PowerShell"),
    within("powershell", "WindowsPowerShell"),
    // All browsers say Mozilla first: which one it is is of no interest here.
    Program { name: BROWSER, sign: Sign::Prefix("Mozilla/"), version: Version::None },
    Program { name: BROWSER, sign: Sign::Prefix("Opera/"), version: Version::None },
];

/// Words that only robots have in their user agents, and their names; the general words stand last.
const BOTS: &[(&str, &str)] = &[
    ("googlebot", "googlebot"),
    ("bingbot", "bingbot"),
    ("msnbot", "bingbot"),
    ("yandexbot", "yandexbot"),
    ("baiduspider", "baiduspider"),
    ("duckduckbot", "duckduckbot"),
    ("yahoo! slurp", "slurp"),
    ("ahrefsbot", "ahrefsbot"),
    ("semrushbot", "semrushbot"),
    ("mj12bot", "mj12bot"),
    ("dotbot", "dotbot"),
    ("archive.org_bot", "archive.org_bot"),
    ("gptbot", "gptbot"),
    ("claudebot", "claudebot"),
    ("ccbot", "ccbot"),
    ("bytespider", "bytespider"),
    ("petalbot", "petalbot"),
    ("facebookexternalhit", "facebookexternalhit"),
    ("twitterbot", "twitterbot"),
    ("ezooms", "ezooms"),
    ("feedburner", "feedburner"),
    ("universalfeedparser", "feedparser"),
    ("uptimerobot", "uptimerobot"),
    ("pingdom", "pingdom"),
    ("censys", "censys"),
    ("zgrab", "zgrab"),
    ("crawler", "bot"),
    ("spider", "bot"),
    ("bot/", "bot"),
    ("bot;", "bot"),
    ("bot)", "bot"),
    ("+http://", "bot"),
    ("+https://", "bot"),
];
