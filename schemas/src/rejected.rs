//! Bad data as a value: what was refused, and why.

use std::fmt;

/// Why a record was refused. The names are stable: they label metrics and stand in the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// The bytes are not a JSON object.
    NotJson,
    /// A required field is absent.
    MissingField,
    /// A field has the wrong type or a value outside its range.
    InvalidField,
    /// The record says a schema version that this build does not know.
    UnsupportedSchema,
    /// The record or line is longer than the bound.
    Oversized,
    /// A line of a foreign log does not have the shape of its format.
    UnparsableLine,
}

impl RejectReason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 6] = [
        Self::NotJson,
        Self::MissingField,
        Self::InvalidField,
        Self::UnsupportedSchema,
        Self::Oversized,
        Self::UnparsableLine,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::UnsupportedSchema => "unsupported_schema",
            Self::Oversized => "oversized",
            Self::UnparsableLine => "unparsable_line",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that was refused. It goes to the dead letters with its bytes and is counted; it never stops the flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejected {
    /// The stable reason.
    pub reason: RejectReason,
    /// The field at fault, where one is.
    pub field: Option<String>,
    /// What was wrong, in words. Never holds the value itself, which may be an address.
    pub detail: String,
}

impl Rejected {
    /// A refusal of the whole record.
    pub fn whole(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, field: None, detail: detail.into() }
    }

    /// A refusal for one field.
    pub fn field(reason: RejectReason, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason, field: Some(field.into()), detail: detail.into() }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: field `{field}`: {}", self.reason, self.detail),
            None => write!(f, "{}: {}", self.reason, self.detail),
        }
    }
}
