//! `whopulls explain`: what is known about addresses, what it was concluded from, and by which rule.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use whopulls_enrich::attribute::{Attribution, attribute};
use whopulls_enrich::geo::{Database, Located};
use whopulls_enrich::overrides::{Decided, EVIDENCE_PREFIX, Overrides, Subject, versions};

use crate::configuration::ConfigArguments;
use crate::role::{open_names, open_overrides};

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// IPv4 or IPv6 addresses
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<IpAddr>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// An answer. What is not known is `null`.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    address: IpAddr,
    asn: Option<u32>,
    as_name: Option<&'a str>,
    network_kind: &'static str,
    country: Option<&'a str>,
    region: Option<&'a str>,
    city: Option<&'a str>,
    cloud: Option<&'a str>,
    cloud_region: Option<&'a str>,
    org_id: Option<&'a str>,
    org_name: Option<&'a str>,
    org_domain: Option<&'a str>,
    org_kind: Option<&'static str>,
    confidence: Option<f64>,
    evidence: &'a [String],
    rule: &'static str,
    data: &'a str,
}

/// Says for each address whose it is, and why.
pub(crate) async fn explain(config: &ConfigArguments, arguments: &ExplainArguments) -> Result<()> {
    let config = config.read()?;
    let database = Arc::new(Database::open(&config.enrich.geo_databases).context("open the network database")?);
    let overrides = open_overrides(&config)?;
    let names = open_names(&config, &database, &overrides)?;
    if let Some(names) = &names {
        names.ask(arguments.addresses.iter().copied()).await;
    }
    let (snapshot, overrides) = (database.snapshot(), overrides.current());
    let data = versions(&snapshot, &overrides);
    let mut out = std::io::stdout().lock();
    for (index, address) in arguments.addresses.iter().enumerate() {
        let name = names.as_ref().and_then(|names| names.domain(*address));
        let located = Located { reverse_domain: name.as_deref(), ..snapshot.lookup(*address) };
        let attribution = attribute(&located);
        let (decided, rule) = concluded(*address, &located, &attribution, &overrides);
        let explanation = Explanation::of(*address, &located, &attribution, &decided, rule, &data);
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&explanation).context("write as JSON")?)?;
        } else {
            if index > 0 {
                writeln!(out)?;
            }
            print(&mut out, &explanation)?;
        }
    }
    Ok(())
}

/// What the databases say and the overrides make of it, and by which rule.
fn concluded(
    address: IpAddr,
    located: &Located<'_>,
    attribution: &Attribution,
    overrides: &Overrides,
) -> (Decided, &'static str) {
    let subject = Subject::Address(address);
    let mut decided = overrides.decide(subject, located.asn, attribution, None);
    if overrides.opts_out(subject) {
        decided.organization = None;
        decided.evidence.clear();
        return (decided, "the overrides opt the network out: neither endpoint nor network nor organization is kept");
    }
    if decided.evidence.iter().any(|reason| reason.starts_with(EVIDENCE_PREFIX)) {
        return (decided, "the overrides say so");
    }
    // The table keeps reasons for an organization alone; here all are told.
    decided.evidence = attribution.evidence.iter().map(ToString::to_string).collect();
    (decided, attribution.rule())
}

impl<'a> Explanation<'a> {
    fn of(
        address: IpAddr,
        located: &Located<'a>,
        attribution: &'a Attribution,
        decided: &'a Decided,
        rule: &'static str,
        data: &'a str,
    ) -> Self {
        let organization = decided.organization.as_ref();
        let cloud = attribution.cloud.as_ref();
        Self {
            address,
            asn: located.asn,
            as_name: located.as_name,
            network_kind: decided.network_kind.as_str(),
            country: located.country,
            region: located.region,
            city: located.city,
            cloud: cloud.map(|cloud| cloud.name.as_str()),
            cloud_region: cloud.and_then(|cloud| cloud.region.as_deref()),
            org_id: organization.map(|found| found.id.as_str()),
            org_name: organization.map(|found| found.name.as_str()),
            org_domain: organization.and_then(|found| found.domain.as_deref()),
            org_kind: organization.map(|found| found.kind.as_str()),
            confidence: organization.map(|found| found.confidence),
            evidence: &decided.evidence,
            rule,
            data,
        }
    }
}

fn print(out: &mut impl Write, found: &Explanation<'_>) -> Result<()> {
    let network = match (found.asn, found.as_name) {
        (Some(asn), Some(name)) => format!("AS{asn} {name}"),
        (Some(asn), None) => format!("AS{asn}"),
        (None, _) => "not announced by anybody that is known".to_owned(),
    };
    let place: Vec<&str> = [found.city, found.region, found.country].into_iter().flatten().collect();
    let organization = match (found.org_name, found.org_id, found.org_kind, found.confidence) {
        (Some(name), Some(id), Some(kind), Some(confidence)) => {
            format!("{name} ({id}), {kind}, confidence {confidence}")
        }
        _ => "none".to_owned(),
    };
    let place = if place.is_empty() { "unknown".to_owned() } else { place.join(", ") };
    let evidence = if found.evidence.is_empty() { "none".to_owned() } else { found.evidence.join(", ") };
    writeln!(out, "{}", found.address)?;
    let mut line = |name: &str, text: &str| writeln!(out, "  {name:13} {text}");
    line("network", &network)?;
    line("kind", found.network_kind)?;
    if let Some(cloud) = found.cloud {
        line("cloud", &found.cloud_region.map_or_else(|| cloud.to_owned(), |region| format!("{cloud}, {region}")))?;
    }
    line("country", &place)?;
    line("organization", &organization)?;
    line("because", found.rule)?;
    line("evidence", &evidence)?;
    line("data", found.data)?;
    Ok(())
}
