//! What other products export comes in, once, and goes out again with the same values.

use std::fs;
use std::path::Path;

use crate::support::{number, query, whopulls};

const DOCKER: &str = "DATE_GRANULARITY,DATE_REFERENCE,PUBLISHER_NAME,DOMAIN,IP_COUNTRY,CLOUD_SERVICE_PROVIDER,USER_AGENT,INFERRED_USE_CASE,IMAGE_REPOSITORY,DATA_DOWNLOADS,VERSION_CHECKS,PULLS,UNIQUE_AUTHENTICATED_USERS";

const DOCKER_ROWS: [&str; 5] = [
    "weekly,2025-09-29,acme,corp.example,US,no csp,docker,Local Dev,acme/app,3,4,7,2",
    "weekly,2025-09-29,acme,corp.example,US,aws,containerd,Prod,acme/app,100,20,120,",
    r#"weekly,2025-10-06,"acme, inc.",Uni.Example,DE,gcp,"a ""b"" client",CI/CD,acme/tool,1,0,1,1"#,
    "monthly,2025-10-01,acme,corp.example,US,aws,containerd,Prod,acme/app,400,80,480,9",
    "weekly,2025-10-06,acme,,FR,azure,regclient,Unknown,acme/tool,5,5,10,0",
];

const SCARF: &str = "id,type,package,pixel,version,time,referer,user_agent,platform,variables,origin_id,origin_latitude,origin_longitude,origin_country,origin_city,origin_postal,origin_connection_type,origin_company,origin_domain,dnt,confidence,endpoint_id,origin_state,mtc_quota_exceeded";

const SCARF_ROWS: [&str; 4] = [
    r#"9d5e,manifest-fetch,acme/app,,1.2.0,2025-09-29T10:00:00Z,,containerd/1.7.2,linux/amd64,,o-1,52.5,13.4,DE,Berlin,10115,business,"Corp, GmbH",corp.example,false,0.93,e-1,BE,false"#,
    r#"9d5f,binary-download,acme/tool,,v3,2025-09-29T10:00:01.25Z,,curl/8.5.0,linux,"{""channel"":""stable"",""os"":""linux""}",o-2,,,US,,,isp,,,false,,e-2,,false"#,
    "9d60,pixel-fetch,,px-7,,2025-09-30 23:59:59,https://docs.example/start?from=mail,Mozilla/5.0,,,o-3,1.0,2.0,FR,Lyon,,hosting,,,false,0.5,e-3,ARA,true",
    "9d61,pixel-fetch,,px-7,,2025-10-01T00:00:00Z,,Mozilla/5.0,,,,,,,,,,,,true,,,,false",
];

fn import(data: &Path, name: &str, header: &str, rows: &[&str]) -> String {
    let path = data.join(name);
    fs::write(&path, format!("{header}\n{}\n", rows.join("\n"))).expect("the export is written");
    let [data, path] = [data, &path].map(|path| path.to_str().expect("a text path"));
    whopulls(&["import", "--data", data, path]).expect_success()
}

/// The lines of an export, its header first, the others in order.
fn exported(data: &Path, format: &str, more: &[&str]) -> Vec<String> {
    let data = data.to_str().expect("a text path");
    let arguments = [&["export", "--data", data, "--format", format], more].concat();
    let text = whopulls(&arguments).expect_success();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

fn expected(header: &str, rows: &[&str]) -> Vec<String> {
    let mut rows: Vec<&str> = rows.to_vec();
    rows.sort_unstable();
    [&[header], rows.as_slice()].concat().into_iter().map(str::to_owned).collect()
}

#[test]
fn dockers_sums_are_added_once_corrected_and_exported_with_the_same_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let printed = import(data, "companies.csv", DOCKER, &DOCKER_ROWS);
    assert!(printed.contains("read as docker") && printed.contains("5 rows of Docker's sums added"), "{printed}");
    let again = import(data, "companies.csv", DOCKER, &DOCKER_ROWS);
    assert!(again.contains("nothing was added"), "{again}");
    assert_eq!(exported(data, "docker", &[]), expected(DOCKER, &DOCKER_ROWS));

    // The next download of the report has another count for the first line.
    let mut corrected = DOCKER_ROWS;
    corrected[0] = "weekly,2025-09-29,acme,corp.example,US,no csp,docker,Local Dev,acme/app,4,4,8,2";
    let printed = import(data, "later.csv", DOCKER, &corrected[..2]);
    assert!(printed.contains("0 rows of Docker's sums added, 1 corrected"), "{printed}");
    assert_eq!(exported(data, "docker", &[]), expected(DOCKER, &corrected));
    assert_eq!(exported(data, "docker", &["--to", "2025-09-30"]), expected(DOCKER, &corrected[..2]));
    assert_eq!(exported(data, "docker", &["--package", "acme/tool"]).len(), 3);

    // Beside what was counted here, and marked.
    let rows = query(
        data,
        "select org_id, source, period, sum(downloads), sum(users) from org_daily group by all order by org_id, period",
    );
    let expected = [
        ["corp.example", "docker", "month", "400", "9"],
        ["corp.example", "docker", "week", "104", "2"],
        ["uni.example", "docker", "week", "1", "1"],
    ];
    assert_eq!(rows, expected);
    let rows = query(data, "select distinct automation, cloud from org_daily where client = 'docker'");
    assert_eq!(rows, [["person", ""]]);
    assert_eq!(number(data, "select count(*) from events"), 0, "sums are no events");

    let refused =
        import(data, "trends.csv", DOCKER, &["weekly,2025-09-29,acme,corp.example,US,aws,x,Prod,acme/app,many,1,1,1"]);
    assert!(refused.contains("line 2") && refused.contains("DATA_DOWNLOADS"), "{refused}");
}

#[test]
fn scarfs_events_are_added_once_and_exported_with_the_same_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let printed = import(data, "events.csv", SCARF, &SCARF_ROWS[..3]);
    assert!(printed.contains("3 events added"), "{printed}");
    // The next export overlaps, and repeats a row within itself, as Scarf says that it may.
    let overlapping = [SCARF_ROWS[2], SCARF_ROWS[3], SCARF_ROWS[3]];
    let printed = import(data, "next.csv", SCARF, &overlapping);
    assert!(printed.contains("1 events added") && printed.contains("2 events were imported before"), "{printed}");
    let again = import(data, "events.csv", SCARF, &SCARF_ROWS[..3]);
    assert!(!again.contains(" events added"), "{again}");
    assert_eq!(number(data, "select count(*) from events"), 4);
    assert_eq!(exported(data, "scarf", &[]), expected(SCARF, &SCARF_ROWS));
    assert_eq!(exported(data, "scarf", &["--from", "2025-10-01"]), expected(SCARF, &SCARF_ROWS[3..]));
    assert_eq!(number(data, "select count(*) from downloads"), 2);

    // Events of our own stand in the same columns.
    let log = data.join("access.log");
    let line = r#"8.8.8.8 - - [29/Sep/2025:08:05:32 +0000] "GET /downloads/app HTTP/1.1" 200 490 "-" "curl/8.5.0""#;
    fs::write(&log, format!("{line}\n")).expect("a log");
    let [data_text, log] = [data, &log].map(|path| path.to_str().expect("a text path"));
    whopulls(&["import", "--format", "nginx", "--path", "/downloads/{package}", "--data", data_text, log])
        .expect_success();
    let lines = exported(data, "scarf", &["--package", "app"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains(",binary-download,app,,,2025-09-29T08:05:32Z,,curl/8.5.0,"), "{lines:?}");
    // And are known again by what exported them.
    let out = data.join("out.csv");
    let out_text = out.to_str().expect("a text path");
    let printed = whopulls(&["export", "--data", data_text, "--format", "scarf", "--out", out_text]).expect_success();
    assert!(printed.contains("5 rows"), "{printed}");
    let again = whopulls(&["import", "--data", data_text, out_text]).expect_success();
    assert!(again.contains("4 events were imported before"), "{again}");
}
