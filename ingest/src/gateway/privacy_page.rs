//! `/privacy`: what is kept of a request, said from the configuration that decides it.

use bytes::Bytes;
use whopulls_schemas::config::{Config, GatewayConfig, IpMode, KeyRotation, RouteRule, Trust};

use super::document::{Block, Document, Section};

/// The page, ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct PrivacyPage {
    pub(crate) html: Bytes,
    pub(crate) text: Bytes,
    /// Its `Content-Security-Policy`.
    pub(crate) policy: String,
}

impl PrivacyPage {
    pub(crate) fn of(config: &Config, gateway: &GatewayConfig) -> Self {
        let document = document(config, gateway);
        Self { html: document.html().into(), text: document.text().into(), policy: Document::policy() }
    }
}

fn document(config: &Config, gateway: &GatewayConfig) -> Document {
    let operator = config.privacy.operator.as_deref().unwrap_or("The operator of this host");
    Document {
        title: "What this download gateway keeps about you".to_owned(),
        opening: vec![
            Block::Text(format!(
                "Downloads from this host pass through a gateway that counts them. {operator} wants to know which organizations use \
                 what it publishes, not which persons. The gateway sets no cookie, and it shows your address to nobody. A download \
                 that it redirects comes from another server, which sees your address as any server does that you ask."
            )),
            Block::Text("This page is written from the gateway's own configuration, and changes with it.".to_owned()),
        ],
        sections: vec![
            section("What one request leaves", recorded(config, gateway)),
            section("What is never kept", never()),
            section("How long your address is kept", lifetime(config)),
            section("What stays", table(config)),
            section("How not to be known", opt_out(config)),
            section("Who answers for this", who(config)),
        ],
        footer: "Asking for this page left no record. The gateway is whopulls, an open-source program.".to_owned(),
    }
}

fn section(heading: &'static str, blocks: Vec<Block>) -> Section {
    Section { heading, blocks }
}

fn text(text: &str) -> Block {
    Block::Text(text.to_owned())
}

/// The fields of a raw record.
fn recorded(config: &Config, gateway: &GatewayConfig) -> Vec<Block> {
    let address = match (&gateway.trust, gateway.proxy_protocol) {
        (_, true) => {
            "your IP address, as the connection shows it or as a proxy of the operator passes it on (PROXY protocol, X-Forwarded-For)"
        }
        (Trust::Socket, false) => "your IP address, as the connection shows it",
        (Trust::Networks(_) | Trust::Hops(_), false) => {
            "your IP address, as the connection shows it or as a proxy of the operator passes it on (X-Forwarded-For)"
        }
    };
    let mut fields = vec![
        "when the request came, how long its answer took, its status and its size".to_owned(),
        "the host, the method and the path that were asked for".to_owned(),
        query(&gateway.query_keys),
        address.to_owned(),
        "what the client says about itself: User-Agent, Accept, and the page that led here (Referer, without its query)".to_owned(),
        "whether it sent DNT or Sec-GPC, its version of HTTP, and whether the connection was encrypted".to_owned(),
        "what the path means: rule, package, version, repository, tag or digest, platforms of an image, further parts of the path \
         that the rule names"
            .to_owned(),
        "the first byte that was asked for, when a download is taken up in the middle".to_owned(),
        "what the gateway did, and which upstream server it asked".to_owned(),
    ];
    if !config.organizations.is_empty() {
        fields.push(
            "the organization, when the request comes by a host name or a user name that was given to one; a password is looked at \
             and not kept"
                .to_owned(),
        );
    }
    if config.routes.iter().any(|route| matches!(route.rule, RouteRule::Telemetry(_))) {
        fields.push("the message that a program sends to a telemetry address, as it was sent".to_owned());
    }
    vec![text("Each answered request makes one record. It holds:"), Block::List(fields)]
}

fn query(keys: &[String]) -> String {
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).filter(|key| *key != "ns").collect();
    keys.push("ns");
    format!("of the query after a question mark only these parameters, where they are there: {}", keys.join(", "))
}

fn never() -> Vec<Block> {
    let never = [
        "cookies: none is set and none is read",
        "passwords, tokens and any other content of Authorization",
        "signed addresses, such as the ones that lead to a file's storage",
        "any other parameter of a query",
        "any other header of the request",
    ];
    vec![Block::List(never.map(str::to_owned).to_vec())]
}

fn lifetime(config: &Config) -> Vec<Block> {
    let age = hours(config.spool.age_max_h);
    let mut blocks = vec![Block::Text(format!(
        "The record with your address is a step on the way to a table that holds none. It waits on the gateway's disk for at most {age}, \
         and is deleted then even if nothing has read it."
    ))];
    if let Some(kafka) = &config.kafka {
        blocks.push(Block::Text(format!(
            "From there it passes through the operator's message queue (Kafka, topic {}), which deletes it after a time that the operator \
             sets there. It is to be set to {age} as well.",
            kafka.topic
        )));
    }
    blocks.push(text(
        "A record that the next step cannot read, which no request should ever cause, is put aside unread until the operator has looked \
         at it. Log files hold no address.",
    ));
    blocks
}

fn hours(count: u64) -> String {
    match count {
        1 => "1 hour".to_owned(),
        count if count >= 48 && count.is_multiple_of(24) => format!("{} days ({count} hours)", count / 24),
        count => format!("{count} hours"),
    }
}

/// What the lake keeps of a request.
fn table(config: &Config) -> Vec<Block> {
    let network = match config.enrich.ip_mode {
        IpMode::Net => {
            "the network that your address is in: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address"
        }
        IpMode::Keep => "your address as it is",
        IpMode::Drop => "no part of your address, only whether it was IPv4 or IPv6",
    };
    let number = match config.enrich.endpoint_key_rotation {
        KeyRotation::Never => {
            "a number in place of your address, computed with a secret key of the operator (of an IPv6 address its first 64 bits). The same \
             client gives the same number; without the key nobody gets from the number to an address"
        }
        KeyRotation::Monthly => {
            "a number in place of your address, computed with a secret key of the operator for the month (of an IPv6 address its first 64 \
             bits). The same client gives the same number within a calendar month, and another in the next; without the key nobody gets \
             from the number to an address, or from one month's to the next's"
        }
    };
    let mut kept = vec![
        "time, host, path, status and size, what was downloaded, the host of the page that led here, and what the gateway did",
        "the client program, its version, its operating system and architecture, as User-Agent names them, and whether it is a robot or a \
         build machine",
        number,
        network,
        "what public databases say about that network: its operator, its kind, country, region, city with coordinates, time zone",
        "the organization that the network belongs to, if one is known, and what speaks for it",
    ];
    if config.enrich.reverse_dns.is_some() {
        kept.push(
            "where nothing else says whose the network is: the domain of the name that your address has in the DNS, if that name leads back to \
             the address. Name servers are asked for it, and learn the address",
        );
    }
    let no_address = if config.enrich.ip_mode == IpMode::Keep { "" } else { "It holds no address. " };
    vec![
        text(&format!(
            "The table from which downloads are counted is kept until the operator deletes from it. {no_address}For each request it holds:"
        )),
        Block::List(kept.into_iter().map(str::to_owned).collect()),
    ]
}

fn opt_out(config: &Config) -> Vec<Block> {
    let mut ways = vec![
        "Send the header DNT: 1 or Sec-GPC: 1; browsers do by a setting. The table then holds the request with its country, and without the \
         number, the network, any nearer place, and the organization."
            .to_owned(),
    ];
    let hosts = &config.privacy.opt_out_hosts;
    if !hosts.is_empty() {
        let which = if hosts.len() == 1 { "" } else { "one of " };
        ways.push(format!(
            "Ask {which}{} in place of this host, with the same paths. Not even the first record then holds your address, User-Agent, the \
             page that led here, or an organization.",
            hosts.join(", ")
        ));
    }
    ways.push(match (&config.privacy.contact, config.privacy.opt_out_networks.is_empty()) {
        (Some(_), true) => {
            "Ask the operator to leave out your network: its requests are then recorded without address.".to_owned()
        }
        (Some(_), false) => {
            "Ask the operator to leave out your network, as others did: its requests are then recorded without address."
                .to_owned()
        }
        (None, _) => {
            "Networks can be left out altogether: their requests are then recorded without address.".to_owned()
        }
    });
    vec![Block::List(ways)]
}

fn who(config: &Config) -> Vec<Block> {
    let operator = config.privacy.operator.as_deref();
    let mut blocks = vec![operator.map_or_else(
        || text("The operator of this host; the configuration gives no name."),
        |operator| Block::Text(format!("{operator} operates this gateway.")),
    )];
    blocks.push(config.privacy.contact.as_ref().map_or_else(
        || text("The configuration gives no contact; whoever publishes what you download can be asked."),
        |contact| Block::Contact("Questions, and requests to see or delete what is kept:", contact.clone()),
    ));
    blocks
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn page(text: &str) -> String {
        let config = Config::parse("test", text, &[]).expect("the configuration is good");
        let gateway = config.gateway.clone();
        let gateway = gateway.unwrap_or_else(|| GatewayConfig::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let page = PrivacyPage::of(&config, &gateway);
        String::from_utf8(page.text.to_vec()).expect("the page is text")
    }

    /// Words as they stand on the page, whichever way its lines are broken.
    #[track_caller]
    fn check(config: &str, says: &[&str], is_silent_on: &[&str]) {
        let page = page(config).split_whitespace().collect::<Vec<_>>().join(" ");
        for words in says {
            assert!(page.contains(words), "`{words}` is not on the page:\n{page}");
        }
        for words in is_silent_on {
            assert!(!page.contains(words), "`{words}` is on the page:\n{page}");
        }
    }

    #[test]
    fn the_page_of_a_bare_configuration_is_this() {
        insta::assert_snapshot!(page(""));
    }

    #[test]
    fn what_the_configuration_says_stands_on_the_page() {
        let gateway = "data = \"d\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n";
        check(
            "",
            &["at most 3 days (72 hours)", "the first 24 bits", "these parameters, where they are there: ns"],
            &["Kafka", "telemetry"],
        );
        check("[spool]\nage_max_h = 30", &["at most 30 hours"], &[]);
        check("[enrich]\nip_mode = \"drop\"", &["no part of your address"], &["the first 24 bits"]);
        check(
            "[enrich]\nip_mode = \"keep\"",
            &["your address as it is"],
            &["It holds no address", "the first 24 bits"],
        );
        check("[enrich]\nendpoint_key_rotation = \"monthly\"", &["another in the next"], &["name servers"]);
        check("[enrich]\nreverse_dns = true", &["Name servers are asked"], &["another in the next"]);
        check("[kafka]\nbrokers = \"b:1\"\ntopic = \"raw.x\"", &["(Kafka, topic raw.x)"], &[]);
        check(&format!("{gateway}query_keys = [\"channel\", \"v\"]"), &["where they are there: channel, v, ns"], &[]);
        check(&format!("{gateway}trusted_hops = 1"), &["X-Forwarded-For"], &["PROXY"]);
        check(
            "[privacy]\noperator = \"The Example Project\"\ncontact = \"p@example.org\"\nopt_out_hosts = [\"noinfo.example.org\"]\n\
             opt_out_networks = [\"192.0.2.0/24\"]",
            &["The Example Project operates this gateway", "p@example.org", "Ask noinfo.example.org", "as others did"],
            &["192.0.2.0"],
        );
        check(
            "[[organization]]\nid = \"example.com\"\nhosts = [\"e.example.org\"]",
            &["given to one"],
            &["example.com"],
        );
        check(
            "[[route]]\nid = \"t\"\nkind = \"telemetry\"\nmatch = \"/t/{id}\"",
            &["the message that a program sends to a telemetry address"],
            &["organization, when the request comes by"],
        );
    }
}
