//! Who or what asked: a person, a build, a machine in production, a mirror, a robot. The first rule that holds decides.

use super::{Class, Client};
use crate::attribute::NetworkKind;

/// The words of the column `automation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automation {
    /// Somebody at a computer.
    Person,
    /// Continuous integration, or another build.
    Ci,
    /// A machine that runs what it pulls.
    Production,
    /// A mirror or cache: how many stand behind it is not seen, so its count is a floor.
    Mirror,
    /// A robot: it never counts.
    Bot,
    /// No rule holds.
    Unknown,
}

impl Automation {
    /// The word for the column `automation`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Ci => "ci",
            Self::Production => "production",
            Self::Mirror => "mirror",
            Self::Bot => "bot",
            Self::Unknown => "unknown",
        }
    }
}

/// What the rules look at.
struct Seen<'a> {
    client: &'a Client,
    network: Option<NetworkKind>,
    has_ns: bool,
}

/// One rule, and the sentence that the documentation has for it.
struct Rule {
    says: Automation,
    when: &'static str,
    holds: fn(&Seen<'_>) -> bool,
}

/// Decides. `has_ns` is whether the request had the query parameter `ns`, with which containerd asks a mirror for another registry's
/// image. A network that is withheld, because the client asked not to be tracked, is `None`.
pub fn automation(client: &Client, network: Option<NetworkKind>, has_ns: bool) -> Automation {
    let seen = Seen { client, network, has_ns };
    RULES.iter().find(|rule| (rule.holds)(&seen)).map_or(Automation::Unknown, |rule| rule.says)
}

/// The rules in order, each as a sentence; what none of them says is [`Automation::Unknown`].
pub fn automation_rules() -> impl Iterator<Item = (Automation, &'static str)> {
    RULES.iter().map(|rule| (rule.says, rule.when))
}

const RULES: [Rule; 7] = [
    Rule {
        says: Automation::Bot,
        when: "a robot, or a watcher, which looks for new versions and pulls nothing",
        holds: |seen| seen.client.bot,
    },
    Rule { says: Automation::Mirror, when: "a mirror", holds: |seen| seen.is(&[Class::Mirror]) },
    Rule { says: Automation::Mirror, when: "the query parameter `ns`", holds: |seen| seen.has_ns },
    Rule {
        says: Automation::Ci,
        when: "the user agent says that it runs in continuous integration",
        holds: |seen| seen.client.ci,
    },
    Rule {
        says: Automation::Ci,
        when: "a tool on a network of kind `hosting`",
        holds: |seen| seen.is(&[Class::Tool]) && seen.is_on(&[NetworkKind::Hosting]),
    },
    Rule {
        says: Automation::Production,
        when: "a runtime on a network of kind `hosting`",
        holds: |seen| seen.is(&[Class::Runtime]) && seen.is_on(&[NetworkKind::Hosting]),
    },
    Rule {
        says: Automation::Person,
        when: "a browser, a tool or a system's packages on a network of kind `business`, `education`, `government`, `isp` or `mobile`",
        holds: |seen| seen.is(&[Class::Browser, Class::Tool, Class::System]) && seen.is_on(PEOPLE),
    },
];

/// Where people sit.
const PEOPLE: &[NetworkKind] =
    &[NetworkKind::Business, NetworkKind::Education, NetworkKind::Government, NetworkKind::Isp, NetworkKind::Mobile];

impl Seen<'_> {
    fn is(&self, classes: &[Class]) -> bool {
        self.client.class.is_some_and(|class| classes.contains(&class))
    }

    fn is_on(&self, kinds: &[NetworkKind]) -> bool {
        self.network.is_some_and(|kind| kinds.contains(&kind))
    }
}

#[cfg(test)]
mod tests {
    use super::super::recognize;
    use super::*;

    #[track_caller]
    fn check(user_agent: &str, network: NetworkKind, expected: Automation) {
        assert_eq!(automation(&recognize(user_agent), Some(network), false), expected, "{user_agent} on {network:?}");
    }

    const CHROME: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
    const NPM_CI: &str = "npm/10.2.4 node/v20.11.0 linux x64 workspaces/false ci/github-actions";

    #[test]
    fn a_bot_is_one_wherever_it_is() {
        for kind in NetworkKind::ALL {
            check("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", kind, Automation::Bot);
            check("RenovateBot/37.0.0 (https://github.com/renovatebot/renovate)", kind, Automation::Bot);
        }
        assert_eq!(automation(&recognize("Watchtower/1.7.1"), None, true), Automation::Bot, "before a mirror too");
    }

    #[test]
    fn a_mirror_is_one_by_its_name_or_by_ns() {
        check("Artifactory/7.71.5 77105900", NetworkKind::Business, Automation::Mirror);
        check("bandersnatch/6.5.0 (cpython 3.11.6-final0, Linux x86_64)", NetworkKind::Hosting, Automation::Mirror);
        let containerd = recognize("containerd/v1.7.2");
        assert_eq!(automation(&containerd, Some(NetworkKind::Hosting), true), Automation::Mirror);
        assert_eq!(automation(&containerd, Some(NetworkKind::Hosting), false), Automation::Production);
    }

    #[test]
    fn a_build_says_so_or_is_a_tool_in_a_cloud() {
        check(NPM_CI, NetworkKind::Business, Automation::Ci);
        check(NPM_CI, NetworkKind::Unknown, Automation::Ci);
        for tool in
            ["curl/8.5.0", "docker/24.0.7 UpstreamClient(Docker-Client/24.0.7 \\(linux\\))", "pip/23.2", "libpod/4.3.1"]
        {
            check(tool, NetworkKind::Hosting, Automation::Ci);
            check(tool, NetworkKind::Isp, Automation::Person);
            check(tool, NetworkKind::Vpn, Automation::Unknown);
        }
    }

    #[test]
    fn a_runtime_in_a_cloud_is_production() {
        for runtime in
            ["containerd/v1.7.2", "cri-o/1.26.1 go/go1.19 os/linux arch/arm64", "kubelet/v1.20 (linux/amd64)"]
        {
            check(runtime, NetworkKind::Hosting, Automation::Production);
            check(runtime, NetworkKind::Business, Automation::Unknown);
        }
    }

    #[test]
    fn a_person_sits_where_people_do() {
        for kind in NetworkKind::ALL {
            let expected = if PEOPLE.contains(&kind) { Automation::Person } else { Automation::Unknown };
            check(CHROME, kind, expected);
            check("Debian APT-HTTP/1.3 (2.6.1)", kind, expected);
        }
    }

    #[test]
    fn what_does_not_say_what_it_is_is_unknown() {
        for kind in NetworkKind::ALL {
            check("", kind, Automation::Unknown);
            check("Go-http-client/2.0", kind, Automation::Unknown);
        }
        assert_eq!(automation(&recognize(CHROME), None, false), Automation::Unknown, "a network that is withheld");
    }
}
