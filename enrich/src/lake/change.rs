//! What becomes of a row of the table that is rewritten, and the columns that this touches.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, ListBuilder, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::compute::{cast, filter_record_batch, nullif};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use thiserror::Error;
use whopulls_schemas::event::{column, text_list};

use crate::event::Organization;
use crate::fold::Counted;

/// What becomes of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum RowChange {
    /// It stays as it is.
    Keep,
    /// Its network is somebody else's, or nobody's.
    Network(Arc<NetworkColumns>),
    /// It counts otherwise.
    Counted(Arc<Counted>),
    /// Who asked is emptied, as for a client that asked not to be tracked; the row is counted as before.
    Anonymize,
    /// It goes.
    Delete,
}

/// The columns that say whose a network is.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkColumns {
    /// The autonomous system.
    pub asn: Option<i64>,
    /// Its name.
    pub as_name: Option<String>,
    /// The kind of network.
    pub network_kind: String,
    /// The cloud or hoster.
    pub cloud: Option<String>,
    /// Its region.
    pub cloud_region: Option<String>,
    /// The organization.
    pub org: Option<Organization>,
    /// Without an organization: the overrides that said so.
    pub ruled_out_by: Vec<String>,
    /// The versions of the databases, rules and overrides that said so.
    pub enriched_with: String,
}

impl NetworkColumns {
    /// The column `org_evidence`; empty is null.
    pub fn evidence(&self) -> &[String] {
        self.org.as_ref().map_or(&self.ruled_out_by, |org| &org.evidence)
    }

    fn text(&self, name: &str) -> Option<&str> {
        let org = self.org.as_ref();
        match name {
            column::AS_NAME => self.as_name.as_deref(),
            column::NETWORK_KIND => Some(&self.network_kind),
            column::CLOUD => self.cloud.as_deref(),
            column::CLOUD_REGION => self.cloud_region.as_deref(),
            column::ENRICHED_WITH => Some(&self.enriched_with),
            column::ORG_ID => org.map(|org| org.id.as_str()),
            column::ORG_NAME => org.and_then(|org| org.name.as_deref()),
            column::ORG_DOMAIN => org.and_then(|org| org.domain.as_deref()),
            column::ORG_KIND => org.and_then(|org| org.kind.as_deref()),
            _ => None,
        }
    }
}

/// The texts among the columns of [`NetworkColumns`].
const NETWORK_TEXTS: [&str; 9] = [
    column::AS_NAME,
    column::NETWORK_KIND,
    column::CLOUD,
    column::CLOUD_REGION,
    column::ENRICHED_WITH,
    column::ORG_ID,
    column::ORG_NAME,
    column::ORG_DOMAIN,
    column::ORG_KIND,
];

/// The columns of [`Counted`].
const COUNTED: [&str; 5] = [column::ACTION, column::PULL_ID, column::PLATFORM, column::DOWNLOADED, column::VERSION];

/// What tells who asked. The country stays, as for a client that asked not to be tracked; so do program and platform.
pub const IDENTITY: [&str; 19] = [
    column::ENDPOINT_ID,
    column::CLIENT_NET,
    column::IP_VERSION,
    column::REGION,
    column::CITY,
    column::LATITUDE,
    column::LONGITUDE,
    column::TIMEZONE,
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
];

/// A file does not have a column as the table has it.
#[derive(Debug, Error)]
pub enum ColumnError {
    /// It is not there.
    #[error("column `{0}` is missing")]
    Missing(&'static str),
    /// Arrow refused.
    #[error("read column `{column}`")]
    Type {
        /// Which.
        column: String,
        /// What was wrong.
        #[source]
        source: ArrowError,
    },
    /// Changed columns do not make a batch again.
    #[error("change {rows} rows; report this")]
    Rows {
        /// How many.
        rows: usize,
        /// What was wrong.
        #[source]
        source: ArrowError,
    },
}

/// The rows after their changes, one change for each row. Deleted ones are left out.
///
/// # Errors
/// When a column has not the type of the table.
pub fn changed(batch: &RecordBatch, changes: &[RowChange]) -> Result<RecordBatch, ColumnError> {
    let failed = |source| ColumnError::Rows { rows: batch.num_rows(), source };
    let emptied: BooleanArray = changes.iter().map(|change| Some(*change == RowChange::Anonymize)).collect();
    let kept: BooleanArray = changes.iter().map(|change| Some(*change != RowChange::Delete)).collect();
    let hosts_emptied =
        if batch.column_by_name(column::HOST).is_some() { claimed_by_host(batch, &emptied)? } else { emptied.clone() };
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, values) in batch.schema().fields().iter().zip(batch.columns()) {
        let values = with_network(field, values, changes)?;
        let values = with_counted(field, &values, changes)?;
        let name = field.name().as_str();
        let values = if IDENTITY.contains(&name) {
            nullif(&values, &emptied).map_err(failed)?
        } else if name == column::HOST {
            nullif(&values, &hosts_emptied).map_err(failed)?
        } else {
            values
        };
        columns.push(values);
    }
    let batch = RecordBatch::try_new(batch.schema(), columns).map_err(failed)?;
    filter_record_batch(&batch, &kept).map_err(failed)
}

/// A host name of its own names an organization as well as its id does.
fn claimed_by_host(batch: &RecordBatch, emptied: &BooleanArray) -> Result<BooleanArray, ColumnError> {
    let evidence = texts(batch, column::ORG_EVIDENCE)?;
    let rows = emptied.iter().zip(evidence.iter());
    Ok(rows
        .map(|(emptied, reasons)| {
            let by_host =
                |reasons: ArrayRef| reasons.as_string::<i32>().iter().flatten().any(|reason| reason == "claim:host");
            Some(emptied == Some(true) && reasons.is_some_and(by_host))
        })
        .collect())
}

fn with_network(field: &Field, values: &ArrayRef, changes: &[RowChange]) -> Result<ArrayRef, ColumnError> {
    let name = field.name().as_str();
    let has_network = changes.iter().any(|change| matches!(change, RowChange::Network(_)));
    let built: ArrayRef = match name {
        _ if !has_network => return Ok(Arc::clone(values)),
        name if NETWORK_TEXTS.contains(&name) => {
            let old = cast_to(values, &DataType::Utf8, name)?;
            let pairs = old.as_string::<i32>().iter().zip(changes);
            Arc::new(
                pairs.map(|(old, change)| network(change).map_or(old, |new| new.text(name))).collect::<StringArray>(),
            )
        }
        column::ASN => {
            let old = cast_to(values, &DataType::Int64, name)?;
            let pairs = old.as_primitive::<Int64Type>().iter().zip(changes);
            Arc::new(pairs.map(|(old, change)| network(change).map_or(old, |new| new.asn)).collect::<Int64Array>())
        }
        column::ORG_CONFIDENCE => {
            let old = cast_to(values, &DataType::Float64, name)?;
            let confidence = |new: &NetworkColumns| new.org.as_ref().and_then(|org| org.confidence);
            let pairs = old.as_primitive::<Float64Type>().iter().zip(changes);
            Arc::new(pairs.map(|(old, change)| network(change).map_or(old, confidence)).collect::<Float64Array>())
        }
        column::ORG_EVIDENCE => evidence(cast_to(values, &text_list(), name)?.as_list::<i32>(), changes),
        _ => return Ok(Arc::clone(values)),
    };
    cast_to(&built, field.data_type(), name)
}

fn with_counted(field: &Field, values: &ArrayRef, changes: &[RowChange]) -> Result<ArrayRef, ColumnError> {
    let name = field.name().as_str();
    let is_counted = changes.iter().any(|change| matches!(change, RowChange::Counted(_)));
    if !is_counted || !COUNTED.contains(&name) {
        return Ok(Arc::clone(values));
    }
    if name == column::DOWNLOADED {
        let old = cast_to(values, &DataType::Boolean, name)?;
        let pairs = old.as_boolean().iter().zip(changes);
        let built = pairs.map(|(old, change)| counted(change).map_or(old, |new| new.downloaded));
        return cast_to(&(Arc::new(built.collect::<BooleanArray>()) as ArrayRef), field.data_type(), name);
    }
    let old = cast_to(values, &DataType::Utf8, name)?;
    let pairs = old.as_string::<i32>().iter().zip(changes);
    let built = pairs.map(|(old, change)| {
        let Some(new) = counted(change) else { return old.map(str::to_owned) };
        match name {
            column::ACTION => Some(new.action.as_str().to_owned()),
            column::PULL_ID => new.pull_id.map(|id| id.to_string()),
            column::PLATFORM => new.platform.clone(),
            // The tag of a pull by digest; of others the version is what was asked for.
            _ => new.tag.clone().or_else(|| old.map(str::to_owned)),
        }
    });
    cast_to(&(Arc::new(built.collect::<StringArray>()) as ArrayRef), field.data_type(), name)
}

fn counted(change: &RowChange) -> Option<&Counted> {
    if let RowChange::Counted(counted) = change { Some(counted) } else { None }
}

fn evidence(old: &ListArray, changes: &[RowChange]) -> ArrayRef {
    let element = Arc::new(Field::new("element", DataType::Utf8, true));
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element);
    for (old, change) in old.iter().zip(changes) {
        match (network(change), old) {
            (Some(new), _) if new.evidence().is_empty() => lists.append_null(),
            (Some(new), _) => lists.append_value(new.evidence().iter().map(Some)),
            (None, Some(old)) => lists.append_value(old.as_string::<i32>().iter()),
            (None, None) => lists.append_null(),
        }
    }
    Arc::new(lists.finish())
}

fn network(change: &RowChange) -> Option<&NetworkColumns> {
    if let RowChange::Network(network) = change { Some(network) } else { None }
}

fn cast_to(values: &ArrayRef, data_type: &DataType, name: &str) -> Result<ArrayRef, ColumnError> {
    if values.data_type() == data_type {
        return Ok(Arc::clone(values));
    }
    cast(values, data_type).map_err(|source| ColumnError::Type { column: name.to_owned(), source })
}

fn named(batch: &RecordBatch, name: &'static str, data_type: &DataType) -> Result<ArrayRef, ColumnError> {
    cast_to(batch.column_by_name(name).ok_or(ColumnError::Missing(name))?, data_type, name)
}

/// A column of texts.
///
/// # Errors
/// When the batch has no such column.
pub fn text(batch: &RecordBatch, name: &'static str) -> Result<StringArray, ColumnError> {
    Ok(named(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// A column of whole numbers.
///
/// # Errors
/// When the batch has no such column.
pub fn long(batch: &RecordBatch, name: &'static str) -> Result<Int64Array, ColumnError> {
    Ok(named(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// A column of moments, in microseconds since 1970.
///
/// # Errors
/// When the batch has no such column.
pub fn moments(batch: &RecordBatch, name: &'static str) -> Result<Int64Array, ColumnError> {
    let moments = named(batch, name, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
    Ok(cast_to(&moments, &DataType::Int64, name)?.as_primitive::<Int64Type>().clone())
}

/// A column of yes and no.
///
/// # Errors
/// When the batch has no such column.
pub fn flag(batch: &RecordBatch, name: &'static str) -> Result<BooleanArray, ColumnError> {
    Ok(named(batch, name, &DataType::Boolean)?.as_boolean().clone())
}

/// A column of fractions.
///
/// # Errors
/// When the batch has no such column.
pub fn double(batch: &RecordBatch, name: &'static str) -> Result<Float64Array, ColumnError> {
    Ok(named(batch, name, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// A column of lists of texts.
///
/// # Errors
/// When the batch has no such column.
pub fn texts(batch: &RecordBatch, name: &'static str) -> Result<ListArray, ColumnError> {
    Ok(named(batch, name, &text_list())?.as_list::<i32>().clone())
}

/// The value of a row.
pub fn at(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}
