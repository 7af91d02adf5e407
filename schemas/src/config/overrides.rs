//! `overrides.toml`: what the operator knows of networks and organizations, over what every database says.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::mistake::{Flaws, Mistakes, line_of};
use super::read::{self, Fault, Read, Section};

/// The whole file, free of contradictions: every organization that is named is declared once, no network is named twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverridesConfig {
    /// `[[organization]]`.
    pub organizations: Vec<OverrideOrganization>,
    /// `[[network]]`.
    pub networks: Vec<OverrideNetwork>,
    /// Ids of organizations that are never shown as such.
    pub ignore: Vec<String>,
    /// Networks whose clients are taken as having asked not to be tracked.
    pub opt_out: Vec<IpNet>,
}

/// `[[organization]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideOrganization {
    /// Its registrable domain, or a word.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// `business`, `education`, `government` or `unknown`.
    pub kind: &'static str,
    /// Other ids and names that mean it.
    pub aliases: Vec<String>,
    /// The id of the organization that it belongs to.
    pub parent: Option<String>,
    /// Whether its events are its parent's.
    pub join: bool,
    /// Where it stands in the file: a line, from 1.
    pub line: usize,
}

/// `[[network]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideNetwork {
    /// Which.
    pub network: NetworkName,
    /// What it is.
    pub meaning: NetworkMeaning,
    /// Where it stands in the file: a line, from 1.
    pub line: usize,
}

/// How a network is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetworkName {
    /// By its addresses.
    Net(IpNet),
    /// By the autonomous system that announces it.
    Asn(u32),
}

/// What is said of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMeaning {
    /// It is this organization's.
    Organization(String),
    /// It serves many, or nobody knows whom: `hosting`, `isp`, `mobile`, `vpn`, `tor`, `private` or `unknown`.
    Kind(&'static str),
}

impl OverridesConfig {
    /// Reads the text of the file. `name` is the file's name for messages.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistakes> {
        let mut flaws = Flaws::default();
        match read(text, &mut flaws) {
            Some(overrides) if flaws.is_empty() => Ok(overrides),
            _ => Err(flaws.locate(name, text, &[])),
        }
    }
}

fn read(text: &str, flaws: &mut Flaws) -> Option<OverridesConfig> {
    let root = match toml_span::parse(text) {
        Ok(root) => root,
        Err(error) => {
            flaws.syntax(&error);
            return None;
        }
    };
    let mut root = Section::of("", root, flaws)?;
    let organizations = root.each_table("organization", organization);
    let networks = root.each_table("network", network);
    let ignore = root.optional("ignore", read::list(id)).unwrap_or_default();
    let opt_out = root.optional("opt_out", read::list(net)).unwrap_or_default();
    root.finish();
    let mut overrides = OverridesConfig { organizations, networks, ignore, opt_out };
    for organization in &mut overrides.organizations {
        organization.line = line_of(text, organization.line);
    }
    for network in &mut overrides.networks {
        network.line = line_of(text, network.line);
    }
    if flaws.is_empty() {
        // A table that did not read would be missed here, and be called undeclared.
        flaws_of_organizations(&overrides, flaws);
        flaws_of_parents(&overrides, flaws);
        flaws_of_networks(&overrides, flaws);
    }
    Some(overrides)
}

fn organization(mut section: Section<'_, '_>) -> Option<OverrideOrganization> {
    const KINDS: &[(&str, &str)] =
        &[("business", "business"), ("education", "education"), ("government", "government"), ("unknown", "unknown")];
    let line = section.start();
    let id = section.required("id", "its domain, as \"example.com\", or a word of your own", id);
    let name = section.required("name", "as people call it", read::text);
    let kind = section.optional("kind", read::word(KINDS)).unwrap_or("unknown");
    let aliases = section.optional("aliases", read::texts).unwrap_or_default();
    let parent = section.optional("parent", self::id);
    let join = section.optional("join", read::flag).unwrap_or(false);
    if join && parent.is_none() {
        section.complain("`join` without `parent`".to_owned(), "name the organization that it is joined to");
    }
    section.finish();
    Some(OverrideOrganization { id: id?, name: name?, kind, aliases, parent, join, line })
}

fn network(mut section: Section<'_, '_>) -> Option<OverrideNetwork> {
    const KINDS: &[(&str, &str)] = &[
        ("hosting", "hosting"),
        ("isp", "isp"),
        ("mobile", "mobile"),
        ("vpn", "vpn"),
        ("tor", "tor"),
        ("private", "private"),
        ("unknown", "unknown"),
    ];
    let line = section.start();
    let given = (section.has("net"), section.has("asn"), section.has("organization"), section.has("kind"));
    let net = section.optional("net", net).map(NetworkName::Net);
    let asn = section.optional("asn", asn).map(NetworkName::Asn);
    let organization = section.optional("organization", id).map(NetworkMeaning::Organization);
    let kind = section.optional("kind", read::word(KINDS)).map(NetworkMeaning::Kind);
    if given.0 == given.1 {
        section.complain(
            "a [[network]] has `net` or `asn`, one of them".to_owned(),
            "net = \"192.0.2.0/24\" or asn = 64500",
        );
    }
    if given.2 == given.3 {
        let hint = "name the organization, or say what kind of network it is";
        section.complain("a [[network]] has `organization` or `kind`, one of them".to_owned(), hint);
    }
    section.finish();
    Some(OverrideNetwork { network: net.or(asn)?, meaning: organization.or(kind)?, line })
}

/// Ids are compared byte by byte with what the table holds, so a capital or a space is a mistake that would never match.
fn id(value: toml_span::Value<'_>) -> Read<String> {
    let id = read::text(value)?;
    let good = id.chars().all(|letter| !letter.is_whitespace() && !letter.is_uppercase());
    if good { Ok(id) } else { Err(Fault::new(format!("`{id}` is not an id"), "in small letters, without spaces")) }
}

fn asn(value: toml_span::Value<'_>) -> Read<u32> {
    let number = read::number(1..=u64::from(u32::MAX))(value)?;
    u32::try_from(number).map_err(|_| Fault::new(format!("{number} is out of range"), ""))
}

fn net(value: toml_span::Value<'_>) -> Read<IpNet> {
    let text = read::text(value)?;
    let hint = "as \"192.0.2.0/24\", \"2001:db8::/32\" or a single address";
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    let net = parsed.ok_or_else(|| Fault::new(format!("`{text}` is not a network"), hint))?;
    if net != net.trunc() {
        let hint = format!("did you mean \"{}\"?", net.trunc());
        return Err(Fault::new(format!("`{text}` has bits behind its prefix"), hint));
    }
    Ok(net)
}

fn flaws_of_organizations(overrides: &OverridesConfig, flaws: &mut Flaws) {
    let mut ids = BTreeMap::new();
    for organization in &overrides.organizations {
        if let Some(first) = ids.insert(organization.id.as_str(), organization.line) {
            let message = format!("the organization `{}` is declared twice, first on line {first}", organization.id);
            flaws.at_line(organization.line, message, "put everything of it in one [[organization]]");
        }
        if overrides.ignore.contains(&organization.id) {
            let message = format!("the organization `{}` is declared and ignored", organization.id);
            flaws.at_line(organization.line, message, "leave it out of one of the two");
        }
    }
    let mut aliases = BTreeMap::new();
    for organization in &overrides.organizations {
        for alias in &organization.aliases {
            let known = aliases.insert(alias.to_lowercase(), organization.id.as_str());
            let other = known.or_else(|| ids.contains_key(alias.as_str()).then_some(alias));
            if let Some(other) = other {
                let message = format!("the alias `{alias}` of `{}` means `{other}` too", organization.id);
                flaws.at_line(organization.line, message, "an alias means one organization; leave it out of one");
            }
        }
    }
}

fn flaws_of_parents(overrides: &OverridesConfig, flaws: &mut Flaws) {
    let parents: BTreeMap<&str, Option<&str>> =
        overrides.organizations.iter().map(|child| (child.id.as_str(), child.parent.as_deref())).collect();
    for organization in &overrides.organizations {
        let Some(parent) = &organization.parent else { continue };
        if !parents.contains_key(parent.as_str()) {
            let message = format!("the parent `{parent}` of `{}` is not declared", organization.id);
            flaws.at_line(organization.line, message, "give it an [[organization]] of its own");
        }
        let mut above = BTreeSet::new();
        let mut at = Some(parent.as_str());
        while let Some(id) = at.filter(|id| above.insert(*id)) {
            at = parents.get(id).copied().flatten();
        }
        if above.contains(organization.id.as_str()) {
            let message = format!("the organization `{}` is above itself", organization.id);
            flaws.at_line(organization.line, message, "leave out one `parent` of the circle");
        }
    }
}

fn flaws_of_networks(overrides: &OverridesConfig, flaws: &mut Flaws) {
    let mut seen = BTreeMap::new();
    let declared: BTreeSet<&str> = overrides.organizations.iter().map(|known| known.id.as_str()).collect();
    for network in &overrides.networks {
        if let Some(first) = seen.insert(network.network, network.line) {
            let message = format!("the network is named twice, first on line {first}");
            flaws.at_line(network.line, message, "one network has one meaning");
        }
        if let NetworkMeaning::Organization(id) = &network.meaning
            && !declared.contains(id.as_str())
        {
            let message = format!("no [[organization]] has the id `{id}`");
            flaws.at_line(network.line, message, "declare it with `id` and `name`");
        }
    }
}
