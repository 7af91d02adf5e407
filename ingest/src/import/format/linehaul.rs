//! PyPI's log for linehaul: `kind|time|country|path|TLS version|cipher|project|version|type|user agent`. It has no address, method
//! or status: what it holds was answered.

use std::borrow::Cow;

use whopulls_schemas::Rejected;
use whopulls_schemas::raw::{Kind, bounded};

use super::super::entry::{Entry, Request};
use super::super::part::{Text, present, text, wrong};
use super::rubygems::http_time;

pub(super) fn parse(line: &[u8]) -> Result<Entry<'_>, Rejected> {
    // A user agent may hold the separator: it takes the rest.
    let mut cells = line.splitn(10, |byte| *byte == b'|');
    let mut next = |field: &str| cells.next().ok_or_else(|| wrong(field, "missing"));
    let is_download = match next("kind")? {
        b"download" => true,
        b"simple" => false,
        _ => return Err(wrong("kind", "neither `download` nor `simple`")),
    };
    let time = http_time(next("time")?).ok_or_else(|| wrong("time", "not as Thu, 07 Jan 2021 20:54:54 GMT"))?;
    let country = given(next("country")?);
    let path = text(next("path")?);
    let (tls, _cipher) = (given(next("tls_protocol")?), next("tls_cipher")?);
    let (project, version, _type) = (given(next("project")?), given(next("version")?), next("type")?);
    let user_agent = given(next("user_agent")?);
    let of_index = |path: &str| path.strip_prefix("/simple/")?.split('/').next().map(str::to_owned);
    let of_index = of_index(&path).filter(|name| !is_download && !name.is_empty());
    let request = Request::of_parts(Cow::Borrowed("GET"), path, None, ["method", "path"])?;
    let mut entry = Entry::new(time, request, 200);
    entry.kind = Some(Kind::Pypi);
    entry.package = project.or(of_index.map(Cow::Owned));
    entry.version = version;
    entry.tls = tls.is_some();
    entry.user_agent = user_agent;
    // Where the client is comes from its address elsewhere; this log has only what the network of its cache said.
    if let Some(country) = country {
        entry.vars.insert("country".to_owned(), bounded(&country));
    }
    Ok(entry)
}

fn given(cell: &[u8]) -> Option<Text<'_>> {
    present(text(cell)).filter(|text| text != "(null)")
}
