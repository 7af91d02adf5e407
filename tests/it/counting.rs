//! What counts, on a real log, against SQL over the raw lines that knows nothing of whopulls.

use std::process::Command;

use crate::support::{number, query, repository, shared, whopulls};

/// By lines: a GET that was answered with a file, and whether the same client had asked for the same within ten minutes before.
const SQL: &str = r#"
with lines as (
    select row_number() over () as n,
           regexp_extract(line, '^(\S+) \S+ \S+ \[([^\]]+)\] "(\S+) (\S+) [^"]*" (\d+) \S+ "[^"]*" "(.*)"$', ['ip','moment','method','path','status','ua']) as f
    from read_csv(?, columns = {'line': 'varchar'}, delim = chr(1), quote = '', escape = '', header = false)
), requests as (
    select n, f.ip as ip, f.ua as ua, f.path as path, f.method as method, f.status::int as status, strptime(f.moment, '%d/%b/%Y:%H:%M:%S %z') as moment from lines
), gets as (
    select *, lag(moment) over (partition by ip, ua, path order by n) as earlier
    from requests where method = 'GET' and status in (200, 301, 302, 303, 307, 308)
)
select (select count(*) from requests), (select count(*) from requests where status = 304),
       count(*) filter (where earlier is null or moment - earlier > interval 10 minute),
       count(*) filter (where moment - earlier <= interval 10 minute) from gets
"#;

#[test]
fn downloads_and_retries_of_a_real_log_are_what_sql_over_its_lines_says() {
    let Some(log) = shared("logs/nginx_package_downloads.log") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let [data, file] = [folder.path(), &log].map(|path| path.to_str().expect("a text path"));
    let import = ["import", "--format", "nginx", "--path", "/downloads/{package}", "--data", data, file];
    whopulls(&import).expect_success();
    let count = |condition: &str| number(folder.path(), &format!("select count(*) from events where {condition}"));
    let found = [
        count("true"),
        count("status = 304 and action = 'version_check'"),
        count("action = 'download'"),
        count("action = 'retry'"),
    ];
    let script = format!("import duckdb,sys; print(*duckdb.execute('''{SQL}''', [sys.argv[1]]).fetchone())");
    let output =
        Command::new(repository().join("scripts/python")).args(["-c", &script, file]).output().expect("DuckDB");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let by_sql: Vec<u64> = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert_eq!(by_sql.as_slice(), found, "lines, 304, downloads, retries");
    assert!(found.iter().all(|count| *count > 100), "there is some of each: {found:?}");

    // History says the same: the rule over the table finds nothing to change.
    let plan = whopulls(&["recount", "--plan", "--data", data]).expect_success();
    assert!(plan.contains("would change: 0 of 14,575 events"), "{plan}");
}

#[test]
fn what_was_counted_request_by_request_is_counted_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::support::past::build(folder.path(), 2, 40_000);
    let data = folder.path().to_str().expect("a text path");
    let downloads = || number(folder.path(), "select count(*) from downloads");
    let before = downloads();
    let plan = whopulls(&["recount", "--plan", "--data", data]).expect_success();
    assert_eq!(downloads(), before, "a plan changes nothing");
    let done = whopulls(&["recount", "--data", data]).expect_success();
    assert_eq!(plan.replace("would change", "changed"), done);
    let retries = number(folder.path(), "select count(*) from events where action = 'retry'");
    assert!(retries > 0 && downloads() + retries == before, "{before}: {done}");
    let again = whopulls(&["recount", "--data", data]).expect_success();
    assert!(again.contains("changed: 0 of"), "{again}");
    // Each retry has the same request of the same client within ten minutes before it.
    let orphans = query(
        folder.path(),
        "select count(*) from events r where action = 'retry' and not exists (select 1 from events e where e.endpoint_id = r.endpoint_id \
         and (e.client is not distinct from r.client) and e.path = r.path and e.ts < r.ts and e.ts >= r.ts - interval '10 minutes' \
         and e.action in ('download', 'retry'))",
    );
    assert_eq!(orphans.concat(), ["0"]);
}
