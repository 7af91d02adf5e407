//! Golden answers.

use serde_json::json;
use whopulls_query::{
    Format, OrganizationsQuery, QueryError, organizations, organizations_csv, organizations_json, organizations_table,
    write,
};

use crate::lake::{Lake, ask, csv, downloads};

#[tokio::test(flavor = "multi_thread")]
async fn the_organizations_of_everything() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let answer = organizations(&engine, &OrganizationsQuery::default()).await.expect("an answer");
    insta::assert_snapshot!("organizations_table", organizations_table(&answer));
    insta::assert_snapshot!("organizations_json", organizations_json(&answer).expect("JSON"));
    insta::assert_snapshot!("organizations_csv", organizations_csv(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_and_days_narrow_ranking_and_coverage_together() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let query = OrganizationsQuery {
        package: Some("app".into()),
        from: Some("2026-11-21".into()),
        to: Some("2026-11-22".into()),
        ..OrganizationsQuery::default()
    };
    let answer = organizations(&engine, &query).await.expect("an answer");
    let ranking: Vec<_> =
        answer.organizations.iter().map(|one| (one.org_id.as_str(), one.downloads, one.endpoints)).collect();
    assert_eq!(ranking, [("acme.example", 2, 2), ("uni.example", 1, 1)]);
    assert_eq!((answer.coverage.total_downloads, answer.coverage.download_counts.isp), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_cuts_the_ranking_and_not_the_total() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let query = OrganizationsQuery { limit: Some(1), ..OrganizationsQuery::default() };
    let answer = organizations(&engine, &query).await.expect("an answer");
    assert_eq!((answer.organizations.len(), answer.total_organizations), (1, 2));
    assert_eq!(answer.coverage.total_downloads, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_narrows_the_ranking_and_not_the_coverage() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let query = OrganizationsQuery { kind: Some("education".into()), ..OrganizationsQuery::default() };
    let answer = organizations(&engine, &query).await.expect("an answer");
    assert_eq!(answer.organizations.iter().map(|one| one.org_id.as_str()).collect::<Vec<_>>(), ["uni.example"]);
    assert_eq!(answer.coverage.download_counts.attributed, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_name_is_a_value_and_never_sql() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let query = OrganizationsQuery { package: Some("app' OR 'a' = 'a".into()), ..OrganizationsQuery::default() };
    let answer = organizations(&engine, &query).await.expect("an answer");
    assert_eq!((answer.organizations.len(), answer.coverage.total_downloads), (0, 0));
    assert!(organizations_table(&answer).contains("0.0 %"));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_make_no_sense_are_named() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let everything = OrganizationsQuery::default;
    for (parameter, query) in [
        ("from", OrganizationsQuery { from: Some("yesterday".into()), ..everything() }),
        ("to", OrganizationsQuery { to: Some("2026-02-30".into()), ..everything() }),
        ("to", OrganizationsQuery { from: Some("2026-02-02".into()), to: Some("2026-02-01".into()), ..everything() }),
        ("limit", OrganizationsQuery { limit: Some(0), ..everything() }),
        ("limit", OrganizationsQuery { limit: Some(1_000_000), ..everything() }),
    ] {
        let error = organizations(&engine, &query).await.expect_err(parameter);
        assert!(matches!(error, QueryError::Parameter { parameter: named, .. } if named == parameter), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_has_no_organizations_and_no_shares() {
    let lake = Lake::empty().await;
    let engine = lake.engine();
    let answer = organizations(&engine, &OrganizationsQuery::default()).await.expect("an answer");
    assert_eq!((answer.total_organizations, answer.coverage.total_downloads), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_say_what_the_function_says() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    insta::assert_snapshot!(csv(&engine, "select * from organizations order by downloads desc").await);
    let classes = "class,downloads,endpoints\nattributed,6,4\nhosting,2,2\nisp,2,2\nunknown,2,1\n";
    assert_eq!(csv(&engine, "select * from coverage order by class").await, classes);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_writes_every_kind_of_value() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let sql = "select ts, date, package, client, asn, count(*) over () * 1000 as many, org_confidence, dnt, org_evidence, vars \
        from events order by ts, asn, endpoint_id nulls first limit 3";
    let result = ask(&engine, sql).await.expect("an answer");
    let text = |format| write(&result, format).expect("a text");
    insta::assert_snapshot!("format_table", text(Format::Table));
    insta::assert_snapshot!("format_csv", text(Format::Csv));
    insta::assert_snapshot!("format_json", text(Format::Json));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rows_are_still_a_table_a_header_and_an_array() {
    let lake = Lake::empty().await;
    let engine = lake.engine();
    let result = ask(&engine, "select id, vars from events").await.expect("an answer");
    assert_eq!(write(&result, Format::Csv).expect("CSV"), "id,vars\n");
    assert_eq!(write(&result, Format::Json).expect("JSON"), "[]");
    assert!(write(&result, Format::Table).expect("a table").ends_with("0 rows\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_wrote_cannot_steer_a_terminal() {
    let mut lake = Lake::empty().await;
    lake.append(&[json!({"client": "curl\u{1b}[2J\u{202e}"})]).await;
    let result = ask(&lake.engine(), "select client from events").await.expect("an answer");
    let text = write(&result, Format::Table).expect("a table");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    assert!(text.contains("curl\\u{1b}[2J"), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_are_pulls_and_downloads_only() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let expected = downloads().iter().filter(|row| row["action"] != "version_check").count();
    assert_eq!(csv(&engine, "select count(*) as n from downloads").await, format!("n\n{expected}\n"));
}
