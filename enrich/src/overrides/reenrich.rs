//! What the overrides of today say of a row of the past, from what the row holds.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use ipnet::IpNet;
use whopulls_schemas::event::column;
use whopulls_schemas::raw::{Claim, ClaimBy};

use super::{Decided, EVIDENCE_PREFIX, Overrides, Subject, versions};
use crate::attribute::{Attribution, REVERSE_PREFIX, attribute};
use crate::geo::{Located, Overlay, OverlayRow, Snapshot};
use crate::lake::change::{ColumnError, NetworkColumns, RowChange, at, double, long, text, texts};

/// The columns that a row is judged by, and those that [`crate::lake::Tally`] counts by.
pub const READ_COLUMNS: [&str; 14] = [
    column::ACTION,
    column::CLIENT_NET,
    column::ASN,
    column::AS_NAME,
    column::NETWORK_KIND,
    column::CLOUD,
    column::CLOUD_REGION,
    column::ORG_ID,
    column::ORG_NAME,
    column::ORG_DOMAIN,
    column::ORG_KIND,
    column::ORG_CONFIDENCE,
    column::ORG_EVIDENCE,
    column::ENRICHED_WITH,
];

/// Networks whose answer is remembered; at about 500 bytes each, 50 MB. Beyond it all are forgotten.
const NETWORKS_MAX: usize = 100_000;

/// Which rows are computed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that an override speaks of, or spoke of when they were written. Their autonomous system stays the one that announced them then.
    Overridden,
    /// Every row that has a network, with all that the current databases and rules say.
    All,
}

/// Judges rows. The same row gets the same answer, and a row that has its answer already stays.
#[derive(Debug)]
pub struct Reenricher {
    snapshot: Arc<Snapshot>,
    overrides: Arc<Overrides>,
    scope: Scope,
    enriched_with: String,
    networks: HashMap<String, Known>,
}

/// What is known of one network, for the rows that nothing sets apart.
#[derive(Debug, Clone)]
struct Known {
    opted_out: bool,
    spoken_of: bool,
    answer: Arc<NetworkColumns>,
}

/// What a row holds of whose it is.
struct Row<'a> {
    net: Option<&'a str>,
    asn: Option<i64>,
    as_name: Option<&'a str>,
    cloud: Option<&'a str>,
    cloud_region: Option<&'a str>,
    org_id: Option<&'a str>,
    org_name: Option<&'a str>,
    evidence: Vec<&'a str>,
}

impl Reenricher {
    /// Judges by these databases and overrides.
    pub fn new(snapshot: Arc<Snapshot>, overrides: Arc<Overrides>, scope: Scope) -> Self {
        let enriched_with = versions(&snapshot, &overrides);
        Self { snapshot, overrides, scope, enriched_with, networks: HashMap::new() }
    }

    /// One change for each row.
    ///
    /// # Errors
    /// When the rows have not the columns of [`READ_COLUMNS`].
    pub fn decide(&mut self, batch: &RecordBatch) -> Result<Vec<RowChange>, ColumnError> {
        let held = Held::of(batch)?;
        let reasons = Reasons::of(&held.evidence);
        Ok((0..batch.num_rows()).map(|row| self.judge(&held, row, &held.row(row, &reasons))).collect())
    }

    fn judge(&mut self, held: &Held, index: usize, row: &Row<'_>) -> RowChange {
        // A row without network is one of a client that is not to be known, or was never known.
        if row.net.is_none() && row.asn.is_none() {
            return RowChange::Keep;
        }
        // Leaving a file out takes nothing back; an empty one does.
        if self.overrides.version().is_none() && Decided::is_overridden(&row.evidence) {
            return RowChange::Keep;
        }
        let (claim, said) = (row.claim(), row.said());
        let known = if claim.is_none() && said.is_none() && row.reverse_domain().is_none() {
            self.remembered(row)
        } else {
            self.compute(row, said, claim.as_ref())
        };
        if known.opted_out {
            return RowChange::Anonymize;
        }
        let spoken_of = || self.overrides.speak_of(Subject::Unknown, None, row.org_id, row.org_name);
        let touched = known.spoken_of || Decided::is_overridden(&row.evidence) || spoken_of();
        if (self.scope == Scope::Overridden && !touched) || held.says(index, row, &known.answer) {
            return RowChange::Keep;
        }
        RowChange::Network(known.answer)
    }

    fn remembered(&mut self, row: &Row<'_>) -> Known {
        let texts = [row.net, row.as_name, row.cloud, row.cloud_region].map(Option::unwrap_or_default);
        let key = format!("{}|{:?}", texts.join("|"), row.asn);
        if let Some(known) = self.networks.get(&key) {
            return known.clone();
        }
        if self.networks.len() >= NETWORKS_MAX {
            self.networks.clear();
        }
        let known = self.compute(row, None, None);
        self.networks.insert(key, known.clone());
        known
    }

    fn compute(&self, row: &Row<'_>, said: Option<IpNet>, claim: Option<&Claim>) -> Known {
        let net = row.net.and_then(|net| net.parse::<IpNet>().ok());
        let subject = net.map_or(Subject::Unknown, |net| Subject::Net { net, said });
        let (located, base) = self.base(net, row);
        let decided = self.overrides.decide(subject, located.asn, &base, claim);
        let network_kind = decided.network_kind.as_str().to_owned();
        let (org, ruled_out_by) = decided.into_columns();
        let answer = NetworkColumns {
            asn: located.asn.map(i64::from),
            as_name: located.as_name.map(str::to_owned),
            network_kind,
            cloud: base.cloud.as_ref().map(|cloud| cloud.name.clone()),
            cloud_region: base.cloud.and_then(|cloud| cloud.region),
            org,
            ruled_out_by,
            enriched_with: self.enriched_with.clone(),
        };
        Known {
            opted_out: self.overrides.opts_out(subject),
            spoken_of: self.overrides.speak_of(subject, located.asn, None, None),
            answer: Arc::new(answer),
        }
    }

    /// What the databases say. The first address of the network stands for the one that is not kept.
    fn base<'a>(&'a self, net: Option<IpNet>, row: &Row<'a>) -> (Located<'a>, Attribution) {
        let mut located = net.map(|net| self.snapshot.lookup(net.network())).unwrap_or_default();
        // The address was asked about when it was known; it cannot be asked about again.
        located.reverse_domain = row.reverse_domain();
        let held_asn = row.asn.and_then(|asn| u32::try_from(asn).ok());
        let takes_current = self.scope == Scope::All && (located.asn.is_some() || located.reserved);
        if !takes_current && located.asn != held_asn {
            located.known = held_asn.and_then(|asn| Overlay::embedded().get(asn)).map(OverlayRow::known);
            located.asn = held_asn;
        }
        if !takes_current {
            located.as_name = row.as_name;
            // The row was written when the address was known: a network that a cloud publishes may be smaller than the one that is kept.
            (located.cloud, located.cloud_region) = (row.cloud, row.cloud_region);
        }
        let base = attribute(&located);
        (located, base)
    }
}

impl<'a> Row<'a> {
    /// What the organization said itself, as the row tells it.
    fn claim(&self) -> Option<Claim> {
        let by = match *self.evidence.first()? {
            "claim:host" => ClaimBy::Host,
            "claim:user" => ClaimBy::User,
            _ => return None,
        };
        let organization = self.org_id?.to_owned();
        let name = self.org_name.unwrap_or(&organization).to_owned();
        Some(Claim { organization, name, by })
    }

    /// The domain that the address's name led to.
    fn reverse_domain(&self) -> Option<&'a str> {
        self.evidence.iter().find_map(|reason| reason.strip_prefix(REVERSE_PREFIX))
    }

    /// The network that an override found the address in, when the address was known.
    fn said(&self) -> Option<IpNet> {
        let mut nets =
            self.evidence.iter().filter_map(|reason| reason.strip_prefix(EVIDENCE_PREFIX)?.strip_prefix("net:"));
        nets.find_map(|net| net.parse().ok())
    }
}

/// The columns of a batch.
struct Held {
    nets: StringArray,
    asns: Int64Array,
    as_names: StringArray,
    clouds: StringArray,
    cloud_regions: StringArray,
    network_kinds: StringArray,
    org_ids: StringArray,
    org_names: StringArray,
    org_domains: StringArray,
    org_kinds: StringArray,
    confidences: Float64Array,
    evidence: ListArray,
}

/// The texts behind the lists of the evidence.
struct Reasons<'a> {
    texts: Option<&'a StringArray>,
    ends: &'a [i32],
}

impl<'a> Reasons<'a> {
    fn of(evidence: &'a ListArray) -> Self {
        Self { texts: evidence.values().as_string_opt::<i32>(), ends: evidence.value_offsets() }
    }

    fn at(&self, row: usize) -> Vec<&'a str> {
        let (Some(texts), Some(&[from, to])) = (self.texts, self.ends.get(row..row + 2)) else { return Vec::new() };
        let (from, to) = (usize::try_from(from).unwrap_or_default(), usize::try_from(to).unwrap_or_default());
        (from..to).filter_map(|index| at(texts, index)).collect()
    }
}

impl Held {
    fn of(batch: &RecordBatch) -> Result<Self, ColumnError> {
        Ok(Self {
            nets: text(batch, column::CLIENT_NET)?,
            asns: long(batch, column::ASN)?,
            as_names: text(batch, column::AS_NAME)?,
            clouds: text(batch, column::CLOUD)?,
            cloud_regions: text(batch, column::CLOUD_REGION)?,
            network_kinds: text(batch, column::NETWORK_KIND)?,
            org_ids: text(batch, column::ORG_ID)?,
            org_names: text(batch, column::ORG_NAME)?,
            org_domains: text(batch, column::ORG_DOMAIN)?,
            org_kinds: text(batch, column::ORG_KIND)?,
            confidences: double(batch, column::ORG_CONFIDENCE)?,
            evidence: texts(batch, column::ORG_EVIDENCE)?,
        })
    }

    fn row<'a>(&'a self, row: usize, reasons: &Reasons<'a>) -> Row<'a> {
        Row {
            net: at(&self.nets, row),
            asn: self.asns.is_valid(row).then(|| self.asns.value(row)),
            as_name: at(&self.as_names, row),
            cloud: at(&self.clouds, row),
            cloud_region: at(&self.cloud_regions, row),
            org_id: at(&self.org_ids, row),
            org_name: at(&self.org_names, row),
            evidence: reasons.at(row),
        }
    }

    /// Whether the row says all of this already. Which versions said so does not matter.
    fn says(&self, index: usize, row: &Row<'_>, new: &NetworkColumns) -> bool {
        let org = new.org.as_ref();
        let confidence = self.confidences.is_valid(index).then(|| self.confidences.value(index).to_bits());
        row.asn == new.asn
            && row.as_name == new.as_name.as_deref()
            && row.cloud == new.cloud.as_deref()
            && row.cloud_region == new.cloud_region.as_deref()
            && at(&self.network_kinds, index) == Some(new.network_kind.as_str())
            && row.org_id == org.map(|org| org.id.as_str())
            && row.org_name == org.and_then(|org| org.name.as_deref())
            && at(&self.org_domains, index) == org.and_then(|org| org.domain.as_deref())
            && at(&self.org_kinds, index) == org.and_then(|org| org.kind.as_deref())
            && confidence == org.and_then(|org| org.confidence).map(f64::to_bits)
            && row.evidence == new.evidence()
    }
}
