//! The table provider: which files are read, what is seen of them, and when.

use serde_json::json;
use whopulls_query::{Engine, LakeError, QueryError};

use crate::lake::{Lake, ask, csv};

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_without_a_table_says_so_and_is_read_once_there_is_one() {
    let mut lake = Lake::nothing();
    let engine = lake.engine();
    let error = ask(&engine, "select 1").await.expect_err("no table");
    assert!(matches!(error, QueryError::Lake(LakeError::NoTable { .. })), "{error:?}");
    lake.create().await;
    lake.append(&[json!({})]).await;
    assert_eq!(csv(&engine, "select count(*) from events").await, "count(*)\n1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_has_its_columns_and_no_rows() {
    let lake = Lake::empty().await;
    let engine = lake.engine();
    assert_eq!(csv(&engine, "select count(*) as n from events").await, "n\n0\n");
    assert_eq!(csv(&engine, "select id, date, ts from events where package = 'a'").await, "id,date,ts\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_seen_by_the_next_query() {
    let mut lake = Lake::empty().await;
    let engine = lake.engine();
    for commit in 1..=12 {
        lake.append(&[json!({"package": format!("p{commit}")})]).await;
        assert_eq!(csv(&engine, "select count(*) as n from events").await, format!("n\n{commit}\n"));
        let last = format!("select count(*) as n from events where package = 'p{commit}'");
        assert_eq!(csv(&engine, &last).await, "n\n1\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_stand_in_the_contracts_order() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let result = ask(&engine, "select * from events limit 1").await.expect("an answer");
    let names = |schema: &arrow::datatypes::Schema| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    assert_eq!(names(&result.schema), names(&whopulls_schemas::event::event_schema()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_keeps_its_value() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let sql = "select date, ts, package, org_evidence, vars, asn, org_confidence, dnt, vars['arch'] as arch \
        from events order by ts, endpoint_id nulls first limit 4";
    insta::assert_snapshot!(csv(&engine, sql).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_an_older_file_lacks_reads_as_null() {
    let mut lake = Lake::without_columns(&["org_evidence", "cloud", "enriched_with"]).await;
    lake.append(&[json!({})]).await;
    let engine = lake.engine();
    let sql =
        "select count(*) as n, count(cloud) as c, count(org_evidence) as e from events where enriched_with is null";
    assert_eq!(csv(&engine, sql).await, "n,c,e\n1,0,0\n");
}

/// Files that a query must not open are taken away: it answers all the same.
async fn answers_without(kept_day: &str, sql: &str) -> String {
    let lake = Lake::with_downloads().await;
    let engine: Engine = lake.engine();
    for file in lake.files().await {
        if !file.as_ref().contains(kept_day) {
            std::fs::remove_file(lake.events().join(file.as_ref())).expect("a file to take away");
        }
    }
    csv(&engine, sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_answered_from_its_own_files() {
    let sql = "select count(distinct package) as n from events where date = '2026-11-21'";
    assert_eq!(answers_without("2026-11-21", sql).await, "n\n2\n");
    let range = "select count(distinct package) as n from events where date between '2026-11-21' and date '2026-11-21'";
    assert_eq!(answers_without("2026-11-21", range).await, "n\n2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_answered_from_the_files_whose_times_include_it() {
    let sql = "select max(endpoint_id) as e from events where ts >= '2026-11-22T23:59:59.999999Z'";
    assert_eq!(answers_without("2026-11-22", sql).await, "e\n601\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_answered_from_the_files_whose_packages_include_it() {
    let sql = "select max(endpoint_id) as e from events where package = 'tool'";
    assert_eq!(answers_without("2026-11-21", sql).await, "e\n900\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_counted_from_the_log_without_opening_a_file() {
    assert_eq!(answers_without("no such day", "select count(*) as n from events").await, "n\n13\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_an_error_that_names_it() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    std::fs::remove_dir_all(lake.events().join("date=2026-11-21")).expect("a day's files");
    let error = ask(&engine, "select max(endpoint_id) from events").await.expect_err("a file is gone");
    assert!(matches!(error, QueryError::Storage(_)), "{error:?}");
    assert!(error.to_string().contains("2026-11-21"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_is_no_store_is_refused_at_once() {
    let mut config = Lake::nothing().config();
    config.events_location = "ftp://host/events".to_owned();
    let error = Engine::open(config).err().expect("no such store");
    assert!(error.to_string().contains("ftp://host/events"), "{error}");
}
