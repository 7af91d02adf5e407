//! Rows of the table as the rule reads them.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::event::column;
use whopulls_schemas::raw::{Child, Kind};

use super::request::unless_bot;
use super::{Client, Counted, Request};
use crate::event::{Action, Alone};
use crate::lake::change::{ColumnError, at, flag, long, moments, text, texts};

/// The columns that the rule reads, and the answer that a row has.
pub const COUNT_COLUMNS: [&str; 25] = [
    column::ID,
    column::TS,
    column::NODE,
    column::SEQ,
    column::METHOD,
    column::PATH,
    column::STATUS,
    column::KIND,
    column::PACKAGE,
    column::VERSION,
    column::REPOSITORY,
    column::REFERENCE,
    column::DIGEST,
    column::CHILDREN,
    column::RANGE_START,
    column::ACTION,
    column::PULL_ID,
    column::PLATFORM,
    column::DOWNLOADED,
    column::ENDPOINT_ID,
    column::CLIENT,
    column::CLIENT_VERSION,
    column::OS,
    column::ARCH,
    column::AUTOMATION,
];

/// The place of a row among all. A node numbers its records in the order in which they were read, and a record that took long may be of an earlier moment than
/// the one before it: so the rows of a node stay in its order, and those of several are merged by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The latest moment of the node's rows up to this one.
    reached: UnixMicros,
    node: Box<str>,
    seq: i64,
}

/// Puts rows into the order in which they are counted.
pub fn in_order(rows: &mut [Row]) {
    rows.sort_by(|one, other| (&one.place.node, one.place.seq).cmp(&(&other.place.node, other.place.seq)));
    let mut node: (Box<str>, UnixMicros) = (Box::default(), UnixMicros(i64::MIN));
    for row in rows.iter_mut() {
        if row.place.node != node.0 {
            node = (row.place.node.clone(), UnixMicros(i64::MIN));
        }
        node.1 = node.1.max(row.ts);
        row.place.reached = node.1;
    }
    rows.sort_by(|one, other| one.place.cmp(&other.place));
}

/// A row with what the table says of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// When it came.
    pub ts: UnixMicros,
    /// Its place, once it is [`in_order`].
    place: Place,
    /// Its id.
    pub id: Uuid,
    /// What it was, as the table has it.
    pub counted: Counted,
    client: Option<i64>,
    program: [Option<Box<str>>; 4],
    alone: Action,
    kind: Kind,
    is_head: bool,
    path: Box<str>,
    package: Option<Box<str>>,
    reference: Option<Box<str>>,
    digest: Option<Box<str>>,
    children: Box<[Child]>,
    range_start: Option<u64>,
}

impl Row {
    /// What the rule reads.
    pub fn request(&self) -> Request<'_> {
        let program = self.program.each_ref().map(Option::as_deref);
        Request {
            id: self.id,
            ts: self.ts,
            client: self.client.map(|endpoint_id| Client { endpoint_id, program }),
            alone: self.alone,
            kind: self.kind,
            is_head: self.is_head,
            path: &self.path,
            package: self.package.as_deref(),
            reference: self.reference.as_deref(),
            digest: self.digest.as_deref(),
            children: &self.children,
            range_start: self.range_start,
        }
    }
}

/// The rows of a batch that has [`COUNT_COLUMNS`], for which `wanted` says so by moment and endpoint. A row without endpoint stands alone, so nothing is to be learned from
/// it, but it is counted too.
///
/// # Errors
/// When a column is missing or not of its type.
pub fn rows(batch: &RecordBatch, wanted: impl Fn(UnixMicros, Option<i64>) -> bool) -> Result<Vec<Row>, ColumnError> {
    let held = Held::of(batch)?;
    let is_wanted = |row: &usize| wanted(UnixMicros(held.ts.value(*row)), number(&held.endpoints, *row));
    Ok((0..batch.num_rows()).filter(is_wanted).map(|row| held.row(row)).collect())
}

struct Held {
    ts: Int64Array,
    seqs: Int64Array,
    statuses: Int64Array,
    ranges: Int64Array,
    endpoints: Int64Array,
    downloaded: BooleanArray,
    children: ListArray,
    texts: Texts,
}

struct Texts {
    id: StringArray,
    node: StringArray,
    method: StringArray,
    path: StringArray,
    kind: StringArray,
    package: StringArray,
    version: StringArray,
    repository: StringArray,
    reference: StringArray,
    digest: StringArray,
    action: StringArray,
    pull_id: StringArray,
    platform: StringArray,
    program: [StringArray; 4],
    automation: StringArray,
}

impl Held {
    fn of(batch: &RecordBatch) -> Result<Self, ColumnError> {
        let text = |name| text(batch, name);
        let texts_of = Texts {
            id: text(column::ID)?,
            node: text(column::NODE)?,
            method: text(column::METHOD)?,
            path: text(column::PATH)?,
            kind: text(column::KIND)?,
            package: text(column::PACKAGE)?,
            version: text(column::VERSION)?,
            repository: text(column::REPOSITORY)?,
            reference: text(column::REFERENCE)?,
            digest: text(column::DIGEST)?,
            action: text(column::ACTION)?,
            pull_id: text(column::PULL_ID)?,
            platform: text(column::PLATFORM)?,
            program: [text(column::CLIENT)?, text(column::CLIENT_VERSION)?, text(column::OS)?, text(column::ARCH)?],
            automation: text(column::AUTOMATION)?,
        };
        // Files of before these columns do not have them.
        let has = |name| batch.column_by_name(name).is_some();
        Ok(Self {
            ts: moments(batch, column::TS)?,
            seqs: long(batch, column::SEQ)?,
            statuses: long(batch, column::STATUS)?,
            ranges: if has(column::RANGE_START) {
                long(batch, column::RANGE_START)?
            } else {
                Int64Array::new_null(batch.num_rows())
            },
            endpoints: long(batch, column::ENDPOINT_ID)?,
            downloaded: flag(batch, column::DOWNLOADED)?,
            children: if has(column::CHILDREN) {
                texts(batch, column::CHILDREN)?
            } else {
                ListArray::new_null(element(), batch.num_rows())
            },
            texts: texts_of,
        })
    }

    fn row(&self, row: usize) -> Row {
        let texts = &self.texts;
        let boxed = |values: &StringArray| at(values, row).map(Box::from);
        let uuid = |values: &StringArray| at(values, row).and_then(|id| Uuid::try_parse(id).ok());
        let kind = at(&texts.kind, row).and_then(Kind::from_word).unwrap_or(Kind::Other);
        let (method, path) = (at(&texts.method, row).unwrap_or_default(), at(&texts.path, row).unwrap_or_default());
        let range_start = number(&self.ranges, row).and_then(|start| u64::try_from(start).ok());
        let status = number(&self.statuses, row).and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
        let has_package = at(&texts.package, row).is_some();
        let by_digest = at(&texts.reference, row).is_some_and(|reference| reference.contains(':'));
        Row {
            ts: UnixMicros(self.ts.value(row)),
            place: Place {
                reached: UnixMicros(self.ts.value(row)),
                node: at(&texts.node, row).unwrap_or_default().into(),
                seq: self.seqs.value(row),
            },
            id: uuid(&texts.id).unwrap_or_default(),
            counted: Counted {
                action: at(&texts.action, row).and_then(Action::from_word).unwrap_or(Action::Metadata),
                pull_id: uuid(&texts.pull_id),
                platform: at(&texts.platform, row).map(str::to_owned),
                downloaded: self.downloaded.is_valid(row).then(|| self.downloaded.value(row)),
                // The version of a pull by digest is the tag that its HEAD told.
                tag: at(&texts.version, row).filter(|_| by_digest && kind == Kind::Oci).map(str::to_owned),
            },
            client: number(&self.endpoints, row),
            program: texts.program.each_ref().map(boxed),
            alone: unless_bot(
                Alone { kind, method, path, status, has_package, range_start }.action(),
                at(&texts.automation, row),
            ),
            kind,
            is_head: method == "HEAD",
            path: path.into(),
            package: boxed(&texts.repository).or_else(|| boxed(&texts.package)),
            reference: boxed(&texts.reference),
            digest: boxed(&texts.digest),
            children: self.children_of(row),
            range_start,
        }
    }

    fn children_of(&self, row: usize) -> Box<[Child]> {
        if self.children.is_null(row) {
            return Box::default();
        }
        let list = self.children.value(row);
        let child = |text: &str| match text.split_once(' ') {
            Some((digest, platform)) => Child { digest: digest.to_owned(), platform: Some(platform.to_owned()) },
            None => Child { digest: text.to_owned(), platform: None },
        };
        list.as_string::<i32>().iter().flatten().map(child).collect()
    }
}

fn element() -> FieldRef {
    Arc::new(Field::new("element", DataType::Utf8, true))
}

fn number(values: &Int64Array, row: usize) -> Option<i64> {
    values.is_valid(row).then(|| values.value(row))
}
