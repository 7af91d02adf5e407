//! What is concluded about a network in the end, with its reasons as the table has them.

use whopulls_schemas::raw::Claim;

use super::EVIDENCE_PREFIX;
use crate::attribute::{Attribution, NetworkKind, Organization};
use crate::event;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// What kind of network it is.
    pub network_kind: NetworkKind,
    /// The organization, when one is known.
    pub organization: Option<Organization>,
    /// What said so, the deciding piece first. Without an organization it holds only what an override said against one.
    pub evidence: Vec<String>,
}

impl Decided {
    /// What the databases say, where no override does.
    pub fn of(base: &Attribution) -> Self {
        let organization = base.organization.clone();
        let evidence = if organization.is_some() { texts(base) } else { Vec::new() };
        Self { network_kind: base.network_kind, organization, evidence }
    }

    pub(super) const fn nobody(network_kind: NetworkKind, evidence: Vec<String>) -> Self {
        Self { network_kind, organization: None, evidence }
    }

    /// The claim goes first; what says the same stays behind it as evidence, and so does an override in any case: it may have said what kind of
    /// network it is, and when it is taken back the row must be found again.
    pub(super) fn with_claim(self, base: &Attribution, claim: &Claim) -> Self {
        let agrees = self.organization.as_ref().is_some_and(|found| found.id == claim.organization);
        let mut claimed = base.clone();
        claimed.network_kind = self.network_kind;
        claimed.organization = self.organization;
        claimed.evidence = Vec::new();
        let claimed = claimed.with_claim(claim);
        let mut evidence = texts(&claimed);
        evidence.extend(self.evidence.into_iter().filter(|reason| agrees || reason.starts_with(EVIDENCE_PREFIX)));
        Self { network_kind: claimed.network_kind, organization: claimed.organization, evidence }
    }

    /// The columns of the organization.
    pub fn into_columns(self) -> (Option<event::Organization>, Vec<String>) {
        let Self { organization, evidence, .. } = self;
        let Some(found) = organization else { return (None, evidence) };
        let organization = event::Organization {
            id: found.id,
            name: Some(found.name),
            domain: found.domain,
            kind: Some(found.kind.as_str().to_owned()),
            confidence: Some(found.confidence),
            evidence,
        };
        (Some(organization), Vec::new())
    }

    /// Whether an override is among the reasons in the table.
    pub fn is_overridden(evidence: &[&str]) -> bool {
        evidence.iter().any(|reason| reason.starts_with(EVIDENCE_PREFIX))
    }
}

fn texts(attribution: &Attribution) -> Vec<String> {
    attribution.evidence.iter().map(ToString::to_string).collect()
}
