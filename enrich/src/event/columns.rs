//! From rows to the columns of `whopulls_schemas::event`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListBuilder, MapBuilder, MapFieldNames,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::Field;
use whopulls_schemas::event::{column, event_schema};
use whopulls_schemas::raw::{Outcome, RawAccess};

use super::{EncodeError, Event, Organization};
use crate::parallel::in_parallel;

/// The rows as one batch with the schema of the table, in the order given.
///
/// # Errors
/// Only when schema and code disagree.
pub fn record_batch(events: &[&Event]) -> Result<RecordBatch, EncodeError> {
    let schema = event_schema();
    let parts: Vec<fn(&[&Event], &mut Columns)> =
        vec![fill_asked, fill_names, fill_counted, fill_numbers, fill_client, fill_network, fill_organization];
    let parts = in_parallel(parts, |fill| {
        let mut columns = Columns::new();
        fill(events, &mut columns);
        columns
    });
    let mut filled: Columns = parts.into_iter().flatten().collect();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let array = filled.remove(field.name().as_str());
        columns.push(array.ok_or_else(|| EncodeError::Column(field.name().clone()))?);
    }
    RecordBatch::try_new(schema, columns).map_err(|source| EncodeError::Arrow { rows: events.len(), source })
}

type Columns = BTreeMap<&'static str, ArrayRef>;

fn text<'a>(events: &'a [&Event], get: impl Fn(&'a Event) -> Option<&'a str>) -> ArrayRef {
    Arc::new(events.iter().map(|event| get(event)).collect::<StringArray>())
}

fn long(events: &[&Event], get: impl Fn(&Event) -> Option<i64>) -> ArrayRef {
    Arc::new(events.iter().map(|event| get(event)).collect::<Int64Array>())
}

fn double(events: &[&Event], get: impl Fn(&Event) -> Option<f64>) -> ArrayRef {
    Arc::new(events.iter().map(|event| get(event)).collect::<Float64Array>())
}

/// Counts beyond `i64` do not occur; Delta has no unsigned numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn fill_asked(events: &[&Event], columns: &mut Columns) {
    columns.insert(column::ID, Arc::new(events.iter().map(|e| Some(e.raw.id.to_string())).collect::<StringArray>()));
    columns.insert(column::NODE, text(events, |e| Some(&e.raw.node)));
    columns.insert(column::HOST, text(events, |e| e.raw.host.as_deref()));
    columns.insert(column::METHOD, text(events, |e| Some(&e.raw.method)));
    columns.insert(column::PATH, text(events, |e| Some(&e.raw.path)));
    let referer_hosts = events.iter().map(|e| referer_host(&e.raw)).collect::<StringArray>();
    columns.insert(column::REFERER_HOST, Arc::new(referer_hosts));
}

fn fill_names(events: &[&Event], columns: &mut Columns) {
    columns.insert(column::KIND, text(events, |e| Some(e.raw.kind.as_str())));
    columns.insert(column::ROUTE, text(events, |e| e.raw.route.as_deref()));
    columns.insert(column::PACKAGE, text(events, |e| e.raw.package.as_deref()));
    columns.insert(column::VERSION, text(events, |e| e.raw.version.as_deref().or(e.counted.tag.as_deref())));
    columns.insert(column::REPOSITORY, text(events, |e| e.raw.repository.as_deref()));
    columns.insert(column::REFERENCE, text(events, |e| e.raw.reference.as_deref()));
    columns.insert(column::DIGEST, text(events, |e| e.raw.digest.as_deref()));
    columns.insert(column::MEDIA_TYPE, text(events, |e| e.raw.media_type.as_deref()));
    columns.insert(column::OUTCOME, text(events, |e| e.raw.outcome.map(Outcome::as_str)));
    columns.insert(column::UPSTREAM, text(events, |e| e.raw.upstream.as_deref()));
    columns.insert(column::VARS, variables(events));
    columns.insert(column::CHILDREN, children(events));
    let untracked = events.iter().map(|e| Some(Event::is_untracked(&e.raw))).collect::<BooleanArray>();
    columns.insert(column::DNT, Arc::new(untracked));
}

fn fill_counted(events: &[&Event], columns: &mut Columns) {
    columns.insert(column::ACTION, text(events, |e| Some(e.counted.action.as_str())));
    let pull_ids = events.iter().map(|e| e.counted.pull_id.map(|id| id.to_string())).collect::<StringArray>();
    columns.insert(column::PULL_ID, Arc::new(pull_ids));
    columns.insert(column::PLATFORM, text(events, |e| e.counted.platform.as_deref()));
    let downloaded = events.iter().map(|e| e.counted.downloaded).collect::<BooleanArray>();
    columns.insert(column::DOWNLOADED, Arc::new(downloaded));
}

fn fill_numbers(events: &[&Event], columns: &mut Columns) {
    let moments = events.iter().map(|e| Some(e.raw.ts.0)).collect::<TimestampMicrosecondArray>();
    columns.insert(column::TS, Arc::new(moments.with_timezone("UTC")));
    columns.insert(column::DATE, Arc::new(events.iter().map(|e| Some(e.raw.ts.day())).collect::<Date32Array>()));
    columns.insert(column::SEQ, long(events, |e| Some(signed(e.raw.seq))));
    columns.insert(column::RANGE_START, long(events, |e| e.raw.range_start.map(signed)));
    columns.insert(column::BYTES, long(events, |e| Some(signed(e.raw.bytes))));
    columns.insert(column::DURATION_US, long(events, |e| Some(signed(e.raw.duration_us))));
    let statuses = events.iter().map(|e| Some(i32::from(e.raw.status))).collect::<Int32Array>();
    columns.insert(column::STATUS, Arc::new(statuses));
    columns.insert(column::ENDPOINT_ID, long(events, |e| e.enriched.endpoint_id));
    columns.insert(column::ASN, long(events, |e| e.enriched.asn.map(i64::from)));
    let versions = events.iter().map(|e| e.enriched.ip_version).collect::<Int32Array>();
    columns.insert(column::IP_VERSION, Arc::new(versions));
    columns.insert(column::LATITUDE, double(events, |e| e.enriched.latitude));
    columns.insert(column::LONGITUDE, double(events, |e| e.enriched.longitude));
    columns.insert(column::ORG_CONFIDENCE, double(events, |e| organization(e).and_then(|o| o.confidence)));
}

fn fill_client(events: &[&Event], columns: &mut Columns) {
    columns.insert(column::CLIENT_NET, text(events, |e| e.enriched.client_net.as_deref()));
    columns.insert(column::CLIENT, text(events, |e| e.enriched.client.as_deref()));
    columns.insert(column::CLIENT_VERSION, text(events, |e| e.enriched.client_version.as_deref()));
    columns.insert(column::OS, text(events, |e| e.enriched.os.as_deref()));
    columns.insert(column::ARCH, text(events, |e| e.enriched.arch.as_deref()));
    columns.insert(column::AUTOMATION, text(events, |e| e.enriched.automation.as_deref()));
    columns.insert(column::ENRICHED_WITH, text(events, |e| e.enriched.enriched_with.as_deref()));
}

fn fill_network(events: &[&Event], columns: &mut Columns) {
    columns.insert(column::COUNTRY, text(events, |e| e.enriched.country.as_deref()));
    columns.insert(column::REGION, text(events, |e| e.enriched.region.as_deref()));
    columns.insert(column::CITY, text(events, |e| e.enriched.city.as_deref()));
    columns.insert(column::TIMEZONE, text(events, |e| e.enriched.timezone.as_deref()));
    columns.insert(column::AS_NAME, text(events, |e| e.enriched.as_name.as_deref()));
    columns.insert(column::NETWORK_KIND, text(events, |e| e.enriched.network_kind.as_deref()));
    columns.insert(column::CLOUD, text(events, |e| e.enriched.cloud.as_deref()));
    columns.insert(column::CLOUD_REGION, text(events, |e| e.enriched.cloud_region.as_deref()));
}

fn fill_organization(events: &[&Event], columns: &mut Columns) {
    columns.insert(column::ORG_ID, text(events, |e| organization(e).map(|o| o.id.as_str())));
    columns.insert(column::ORG_NAME, text(events, |e| organization(e).and_then(|o| o.name.as_deref())));
    columns.insert(column::ORG_DOMAIN, text(events, |e| organization(e).and_then(|o| o.domain.as_deref())));
    columns.insert(column::ORG_KIND, text(events, |e| organization(e).and_then(|o| o.kind.as_deref())));
    columns.insert(column::ORG_EVIDENCE, evidence(events));
}

fn organization(event: &Event) -> Option<&Organization> {
    event.enriched.org.as_ref()
}

fn referer_host(raw: &RawAccess) -> Option<String> {
    let url = url::Url::parse(raw.referer.as_deref()?).ok()?;
    url.host_str().map(str::to_owned)
}

fn evidence(events: &[&Event]) -> ArrayRef {
    let element = Arc::new(Field::new("element", arrow::datatypes::DataType::Utf8, true));
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element);
    for event in events {
        match organization(event) {
            Some(organization) => lists.append_value(organization.evidence.iter().map(Some)),
            None if event.enriched.ruled_out_by.is_empty() => lists.append_null(),
            None => lists.append_value(event.enriched.ruled_out_by.iter().map(Some)),
        }
    }
    Arc::new(lists.finish())
}

/// Each as the column has it: the digest, and behind a space the platform.
fn children(events: &[&Event]) -> ArrayRef {
    let element = Arc::new(Field::new("element", arrow::datatypes::DataType::Utf8, true));
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element);
    for event in events {
        if event.raw.children.is_empty() {
            lists.append_null();
        } else {
            lists.append_value(event.raw.children.iter().map(|child| {
                let platform = child.platform.as_deref();
                Some(platform.map_or_else(|| child.digest.clone(), |platform| format!("{} {platform}", child.digest)))
            }));
        }
    }
    Arc::new(lists.finish())
}

fn variables(events: &[&Event]) -> ArrayRef {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for event in events {
        let vars = &event.raw.vars;
        for (key, value) in vars {
            maps.keys().append_value(key);
            maps.values().append_value(value);
        }
        // Keys and values are appended in pairs, so the builder has nothing to refuse.
        drop(maps.append(!vars.is_empty()));
    }
    Arc::new(maps.finish())
}
