//! What a query may not do, and what stops one that asks for too much.

use std::num::NonZeroUsize;
use std::time::Duration;

use whopulls_query::{Engine, Fault, QueryError};

use crate::lake::{Lake, ask, csv};

/// Statements that change, read elsewhere, or make something large out of nothing.
const HOSTILE: [&str; 38] = [
    "drop table events",
    "drop view downloads",
    "drop schema public cascade",
    "create table mine as select * from events",
    "create view mine as select * from events",
    "create external table secrets stored as csv location '/etc/passwd'",
    "create external table secrets stored as parquet location 's3://other/bucket'",
    "create function f(bigint) returns bigint return $1 + 1",
    "create schema mine",
    "create database mine",
    "insert into events select * from events",
    "insert into events (id) values ('x')",
    "update events set org_name = 'Evil'",
    "delete from events",
    "truncate table events",
    "copy events to '/tmp/stolen.csv' stored as csv",
    "copy (select * from events) to 's3://mine/stolen.parquet'",
    "explain copy events to '/tmp/stolen.csv' stored as csv",
    "explain analyze insert into events select * from events",
    "set datafusion.execution.target_partitions = 1000",
    "reset datafusion.execution.target_partitions",
    "begin",
    "prepare p as select 1",
    "execute p",
    "select * from '/etc/passwd'",
    "select * from 's3://bucket/file.parquet'",
    "select * from \"/etc/passwd\"",
    "select * into mine from events",
    "select * from read_csv('/etc/passwd')",
    "select * from parquet_metadata('/tmp/x.parquet')",
    "select * from generate_series(1, 1000000000000)",
    "select sum(value) from range(1, 1000000000000)",
    "select repeat('x', 1000000000)",
    "select lpad('x', 1000000000, 'y')",
    "select array_repeat('x', 1000000000)",
    "with recursive t as (select 1 as n union all select n + 1 from t) select count(*) from t",
    "select 1; drop table events",
    "call something()",
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_statements_are_refused() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let mut refusals = Vec::new();
    for sql in HOSTILE {
        let error = ask(&engine, sql).await.expect_err(sql);
        assert!(matches!(error.fault(), Fault::Forbidden | Fault::Question), "{sql}: {error:?}");
        let first_line = error.to_string().lines().next().unwrap_or_default().to_owned();
        refusals.push(format!("{sql}\n    {first_line}\n"));
    }
    assert_eq!(csv(&engine, "select count(*) as n from events").await, "n\n13\n", "the table is as it was");
    assert!(!std::path::Path::new("/tmp/stolen.csv").exists());
    insta::assert_snapshot!(refusals.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_the_tables_are_answered() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    for sql in [
        "show tables",
        "describe events",
        "show columns from downloads",
        "explain select count(*) from events",
        "explain analyze select count(*) from events where package = 'app'",
        "select table_name from information_schema.tables",
        "select 1",
        "values (1), (2)",
        "with a as (select * from downloads) select count(*) from a join a as b on a.id = b.id",
        "select package from events where id in (select id from downloads) union all select 'x'",
        "select row_number() over (partition by package order by ts) from events",
        "select unnest(org_evidence) from events",
    ] {
        ask(&engine, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_wrong_is_told_what_is_wrong() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let mut told = Vec::new();
    for sql in [
        "selct 1",
        "select from where",
        "select packge from events",
        "select * from event",
        "select no_such_function(1)",
        "select 1 / 0",
        "select cast('x' as int)",
        "",
    ] {
        let error = ask(&engine, sql).await.expect_err(sql);
        assert_eq!(error.fault(), Fault::Question, "{sql}: {error:?}");
        let short: String = error.to_string().lines().next().unwrap_or_default().chars().take(160).collect();
        told.push(format!("{sql}\n    {short}\n"));
    }
    insta::assert_snapshot!(told.concat());
}

fn bounded(lake: &Lake, change: impl FnOnce(&mut whopulls_query::EngineConfig)) -> Engine {
    let mut config = lake.config();
    change(&mut config);
    Engine::open(config).expect("an engine")
}

/// 13 rows to the seventh: 62 million.
const LARGE: &str = "events a, events b, events c, events d, events e, events f, events g";

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_runs_too_long_is_stopped() {
    let lake = Lake::with_downloads().await;
    let engine = bounded(&lake, |config| config.timeout = Duration::from_millis(300));
    let sql = format!("select count(distinct concat(a.id, b.id, c.id, d.id, e.id, f.id, g.id)) from {LARGE}");
    let error = ask(&engine, &sql).await.expect_err("too long");
    assert!(matches!(error, QueryError::Timeout(_) | QueryError::Memory { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_needs_too_much_memory_is_refused_and_the_next_one_runs() {
    let lake = Lake::with_downloads().await;
    let engine = bounded(&lake, |config| config.memory_bytes_max = 1 << 20);
    let sql = format!("select array_agg(concat(a.id, b.id, c.id)) from {LARGE}");
    let error = ask(&engine, &sql).await.expect_err("too much");
    assert!(matches!(error, QueryError::Memory { .. }), "{error:?}");
    assert_eq!(csv(&engine, "select count(*) as n from events").await, "n\n13\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_says_that_it_is_cut_and_a_whole_one_that_it_is_whole() {
    let lake = Lake::with_downloads().await;
    for (rows_max, rows, truncated) in [(5, 5, true), (12, 12, true), (13, 13, false), (14, 13, false)] {
        let engine = bounded(&lake, |config| config.rows_max = rows_max);
        let result = ask(&engine, "select id from events").await.expect("an answer");
        assert_eq!((result.rows(), result.truncated), (rows, truncated), "at most {rows_max}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_cut_answer_is_that_of_the_whole() {
    let lake = Lake::with_downloads().await;
    let engine = bounded(&lake, |config| config.rows_max = 3);
    let answer =
        csv(&engine, "select endpoint_id from events where endpoint_id is not null order by endpoint_id desc").await;
    assert_eq!(answer, "endpoint_id\n900\n900\n700\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_queries_than_may_wait_are_told_to_come_back() {
    let lake = Lake::with_downloads().await;
    let engine = bounded(&lake, |config| config.concurrency_max = NonZeroUsize::MIN);
    // Kept busy by one that is slow; more than eight may not wait behind it.
    let slow = format!("select count(distinct concat(a.id, b.id, c.id, d.id)) from {LARGE}");
    let asked: Vec<_> = (0..12)
        .map(|_| {
            let (engine, slow) = (engine.clone(), slow.clone());
            tokio::spawn(async move { engine.sql(&slow).await.map(|_| ()) })
        })
        .collect();
    let (running_max, _) = futures::future::select_ok(asked.into_iter().map(|handle| {
        Box::pin(async move {
            match handle.await {
                Ok(Err(QueryError::Busy { running_max })) => Ok(running_max),
                _ => Err(()),
            }
        })
    }))
    .await
    .expect("one is turned away");
    assert_eq!(running_max, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_any_size_is_bounded() {
    let lake = Lake::with_downloads().await;
    let engine = lake.engine();
    let error = ask(&engine, &"x".repeat(100_000)).await.expect_err("too long");
    assert!(matches!(error, QueryError::TooLong { .. }), "{error:?}");
    let nested = format!("select {}1{}", "(".repeat(2_000), ")".repeat(2_000));
    let error = ask(&engine, &nested).await.expect_err("too deep");
    assert_eq!(error.fault(), Fault::Question, "{error:?}");
    let chain = |link: &str, links: usize| link.repeat(links);
    let error = ask(&engine, &format!("select {}1", chain("1 + ", 15_000))).await.expect_err("too many");
    assert!(matches!(error, QueryError::TooComplex { .. }), "{error:?}");
    // As deep as the bound allows, in every way that makes a tree deep.
    for sql in [
        format!("select {}1", chain("1 + ", 2_400)),
        format!("select 1{}", chain("::int", 2_400)),
        format!("select count(*) from events where {}true", chain("seq = 1 or ", 1_200)),
        format!("select {}1", chain("- ", 4_900)),
        format!("select {}true", chain("not ", 4_900)),
        format!("select 1 {}", chain("union all select 1 ", 1_200)),
        format!("select 1 from {}(values (1))", chain("(values (1)), ", 600)),
        format!("select count(*) from events where seq in ({}0)", chain("1, ", 2_400)),
        format!("select case {} end", chain("when false then 1 ", 1_200)),
    ] {
        if let Err(error) = ask(&engine, &sql).await {
            assert_ne!(error.fault(), Fault::Ours, "{}…: {error:?}", sql.chars().take(60).collect::<String>());
        }
    }
    assert_eq!(csv(&engine, "select count(*) as n from events").await, "n\n13\n", "it still answers");
}
