//! What a query may do: read our tables. Judged on the parsed statement and again on the plan, so that a way of saying
//! something that the first does not know is caught by the second.

use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{QueryError, SQL_BYTES_MAX};

/// The tables and views that queries read.
pub(super) const TABLES: [&str; 6] = ["events", "downloads", "organizations", "org_daily", "coverage", "docker_pulls"];
/// DataFusion's own description of them.
const DESCRIPTIONS: &str = "information_schema";

/// Functions that make a large value of a few bytes, outside what the memory pool sees. They are not registered.
pub(super) const AMPLIFIERS: [&str; 9] = [
    "repeat",
    "lpad",
    "rpad",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "range",
    "generate_series",
];

/// A tree over so many tokens is shallow enough for the stack of a query thread, of which each level gets 12 KiB.
pub(super) const TOKENS_MAX: usize = 5_000;

/// Chains such as `1 + 1 + …` or a long FROM make trees that are as deep as they are long, and taking a tree apart recurses.
pub(super) fn check_size(sql: &str) -> Result<(), QueryError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(QueryError::TooLong { bytes: sql.len(), bytes_max: SQL_BYTES_MAX });
    }
    // What has no tokens is no SQL: the parser says so.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let tokens = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    if tokens > TOKENS_MAX { Err(QueryError::TooComplex { tokens, tokens_max: TOKENS_MAX }) } else { Ok(()) }
}

/// Only statements that read.
pub(super) fn check_statement(statement: &Statement, sql: &str) -> Result<(), QueryError> {
    let reads = match statement {
        Statement::Statement(statement) => reads(statement),
        Statement::Explain(explain) => return check_statement(&explain.statement, sql),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    };
    if reads { Ok(()) } else { Err(refused(first_word(sql))) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a list of what is allowed: the rest, a hundred kinds, is refused")]
fn reads(statement: &ast::Statement) -> bool {
    match statement {
        ast::Statement::Query(_)
        | ast::Statement::ExplainTable { .. }
        | ast::Statement::ShowTables { .. }
        | ast::Statement::ShowColumns { .. } => true,
        ast::Statement::Explain { statement, .. } => reads(statement),
        _ => false,
    }
}

/// Only nodes that read, and only our tables, in every corner of the plan.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        found = forbidden(node);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (found, walked) {
        (Some(what), _) => Err(refused(what)),
        (None, Err(error)) => Err(refused(error.strip_backtrace())),
        (None, Ok(_)) => {
            let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
            options.verify_plan(plan).map_err(|error| refused(error.strip_backtrace()))
        }
    }
}

fn forbidden(node: &LogicalPlan) -> Option<String> {
    match node {
        LogicalPlan::TableScan(scan) if !is_ours(&scan.table_name) => Some(format!("the table {}", scan.table_name)),
        LogicalPlan::RecursiveQuery(_) => Some("WITH RECURSIVE".to_owned()),
        LogicalPlan::Statement(_) => Some("a statement".to_owned()),
        LogicalPlan::Dml(_) => Some("a change of data".to_owned()),
        LogicalPlan::Ddl(_) => Some("a change of tables".to_owned()),
        LogicalPlan::Copy(_) => Some("COPY".to_owned()),
        LogicalPlan::Extension(_) => Some("an extension".to_owned()),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_) => None,
    }
}

fn is_ours(table: &TableReference) -> bool {
    table.schema() == Some(DESCRIPTIONS) || TABLES.contains(&table.table())
}

fn refused(what: impl Into<String>) -> QueryError {
    QueryError::Refused { what: what.into() }
}

/// The word by which a person knows the statement.
fn first_word(sql: &str) -> String {
    const LETTERS_MAX: usize = 20;
    let word: String = sql.trim_start().chars().take_while(char::is_ascii_alphabetic).take(LETTERS_MAX).collect();
    if word.is_empty() { "this statement".to_owned() } else { word.to_ascii_uppercase() }
}
