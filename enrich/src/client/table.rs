//! The programs that are known, from `clients.csv`, and how each says its version. The first line that fits decides.

use std::sync::LazyLock;

use super::products::UserAgent;

/// What sort of program it is, as far as that says who or what asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A person reads with it.
    Browser,
    /// Somebody, or a script, runs it for one task.
    Tool,
    /// It keeps a machine's own packages.
    System,
    /// It runs what it pulls, or deploys it.
    Runtime,
    /// It asks for others, and keeps what it got.
    Mirror,
    /// It looks for new versions and pulls nothing.
    Watcher,
    /// A part of programs that do not name themselves.
    Library,
    /// A robot.
    Bot,
}

/// How a user agent is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It begins with this product: `name`, `name/…` or `name …`, in whatever case.
    Product,
    /// It begins with this text, in whatever case.
    Prefix,
    /// It has this product somewhere.
    Within,
    /// It has this text somewhere; the table has it in lower case.
    Contains,
}

/// Where the version stands.
#[derive(Debug, Clone, Copy)]
enum Version {
    /// After this product's name; without it, after the name that the line looks for.
    Product(&'static str),
    /// In the first comment: `Debian APT-HTTP/1.3 (2.6.1)` says the format's version first.
    Comment,
    /// After the first product that has one.
    Any,
    /// All that follows the first product's name: `Bazel/1.0 dev`.
    Rest,
    /// After this text, which is in lower case.
    After(&'static str),
    /// Nowhere.
    None,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) class: Class,
    sign: Sign,
    text: &'static str,
    version: Version,
}

static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| CLIENTS.lines().filter_map(Program::read).collect());

/// The table as it stands in the repository.
pub(super) const CLIENTS: &str = include_str!("clients.csv");

/// The program of a user agent.
pub(super) fn program(user_agent: &UserAgent<'_>) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.fits(user_agent))
}

impl Program {
    /// A line of the table: `name,class,sign,text,version`. One that is none of these is a comment; a test finds mistakes.
    pub(super) fn read(line: &'static str) -> Option<Self> {
        let mut fields = line.splitn(5, ',');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let class = Class::from_word(fields.next()?)?;
        let sign = match fields.next()? {
            "product" => Sign::Product,
            "prefix" => Sign::Prefix,
            "within" => Sign::Within,
            "contains" => Sign::Contains,
            _ => return None,
        };
        let text = fields.next().filter(|text| !text.is_empty())?;
        let version = match fields.next()? {
            "" => Version::Product(text),
            "comment" => Version::Comment,
            "any" => Version::Any,
            "rest" => Version::Rest,
            "none" => Version::None,
            other => other.strip_prefix("after:").map_or(Version::Product(other), Version::After),
        };
        Some(Self { name, class, sign, text, version })
    }

    fn fits(&self, user_agent: &UserAgent<'_>) -> bool {
        match self.sign {
            Sign::Prefix => after_prefix(user_agent.text, self.text).is_some(),
            Sign::Product => after_prefix(user_agent.text, self.text)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' '])),
            Sign::Within => user_agent.products.iter().any(|product| product.name.eq_ignore_ascii_case(self.text)),
            Sign::Contains => user_agent.lower.contains(self.text),
        }
    }

    /// Where this program's user agent has its version, whatever stands there.
    pub(super) fn version_in<'a>(&self, user_agent: &UserAgent<'a>) -> Option<&'a str> {
        match self.version {
            Version::Product(wanted) => user_agent.version_of(wanted).or_else(|| user_agent.version_of(self.text)),
            Version::Comment => user_agent.comment(),
            Version::Any => user_agent.products.iter().find_map(|product| product.version),
            Version::Rest => {
                let (_, rest) = user_agent.text.split_once('/')?;
                Some(rest.strip_prefix("release ").unwrap_or(rest))
            }
            Version::After(text) => {
                let start = user_agent.lower.find(text)? + text.len();
                user_agent.text.get(start..)?.split([' ', ';', ')']).find(|part| !part.is_empty())
            }
            Version::None => None,
        }
    }

    /// By what the documentation says that it is recognized.
    #[cfg(test)]
    pub(super) fn shown_sign(&self) -> String {
        match self.sign {
            Sign::Product => format!("`{}/`", self.text),
            Sign::Prefix => format!("`{}…`", self.text),
            Sign::Within => format!("`… {}/`", self.text),
            Sign::Contains => format!("`…{}…`", self.text),
        }
    }
}

impl Class {
    /// The word for it in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Tool => "tool",
            Self::System => "system",
            Self::Runtime => "runtime",
            Self::Mirror => "mirror",
            Self::Watcher => "watcher",
            Self::Library => "library",
            Self::Bot => "bot",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        // A robot is no line of this table: `bots.csv` has them.
        let all = [Self::Browser, Self::Tool, Self::System, Self::Runtime, Self::Mirror, Self::Watcher, Self::Library];
        all.into_iter().find(|class| class.as_str() == word)
    }
}

/// What follows a prefix, whatever its case.
fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}
