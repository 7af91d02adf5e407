//! Why a question has no answer, and whose fault that is.

use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::io::LakeError;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is longer than is read.
    #[error("the query has {bytes} bytes; at most {bytes_max} are read")]
    TooLong {
        /// What came.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The text has more words than are read.
    #[error("the query has {tokens} words and signs; at most {tokens_max} are read")]
    TooComplex {
        /// What came.
        tokens: usize,
        /// The bound.
        tokens_max: usize,
    },
    /// The text is not SQL.
    #[error("the query is not SQL: {0}")]
    Syntax(String),
    /// The query names what is not there or compares what cannot be compared.
    #[error("the query does not fit the tables: {0}")]
    Invalid(String),
    /// The query would do what queries here may not.
    #[error("{what} is refused: this SQL only reads")]
    Refused {
        /// The statement or table.
        what: String,
    },
    /// A parameter of a question is not what it must be.
    #[error("{parameter} is {value:?}, which is not {expected}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What came.
        value: String,
        /// What is understood.
        expected: &'static str,
    },
    /// The query failed on the data: a division by zero, a text that is not a number.
    #[error("the query failed while it ran: {0}")]
    Failed(String),
    /// It ran longer than it may.
    #[error("the query ran longer than {} seconds and was stopped", .0.as_secs_f32())]
    Timeout(Duration),
    /// It needed more memory than all queries together may have.
    #[error("the query needs more memory than the {memory_bytes_max} bytes that all queries share")]
    Memory {
        /// The bound.
        memory_bytes_max: usize,
    },
    /// The answer is larger than is held.
    #[error("the answer is larger than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// Too many queries are running and waiting.
    #[error("{running_max} queries are running and as many as may wait are waiting")]
    Busy {
        /// The bound.
        running_max: usize,
    },
    /// The table cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The data of the table could not be read.
    #[error("read the files of the table: {0}")]
    Storage(String),
    /// A mistake of ours.
    #[error("whopulls made a mistake: {0}")]
    Internal(String),
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The question's: asking it again will not help.
    Question,
    /// The question asks for more than it may have.
    Limit,
    /// The question may not be asked.
    Forbidden,
    /// Nobody's: ask again later.
    Later,
    /// Ours.
    Ours,
}

impl QueryError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Syntax(_) | Self::Invalid(_) | Self::Parameter { .. } | Self::Failed(_) => Fault::Question,
            Self::TooLong { .. }
            | Self::TooComplex { .. }
            | Self::Timeout(_)
            | Self::Memory { .. }
            | Self::TooLarge { .. } => Fault::Limit,
            Self::Refused { .. } => Fault::Forbidden,
            Self::Busy { .. } | Self::Lake(_) | Self::Storage(_) => Fault::Later,
            Self::Internal(_) => Fault::Ours,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::TooComplex { .. } => {
                "ask in fewer words; a long list of values can often be a join or a range"
            }
            Self::Syntax(_) => {
                "the SQL is close to PostgreSQL's; names with capitals or dashes stand in \"double quotes\""
            }
            Self::Invalid(_) => "`SHOW TABLES` lists the tables and `DESCRIBE events` the columns",
            Self::Refused { .. } => {
                "ask with SELECT, EXPLAIN, DESCRIBE or SHOW, from events, downloads, organizations or coverage"
            }
            Self::Parameter { .. } => "see the parameters in the documentation of the API",
            Self::Failed(_) => "`try_cast(… AS …)` and `nullif(…, 0)` avoid most of these",
            Self::Timeout(_) => "narrow it with `WHERE date >= …`, which leaves whole days out",
            Self::Memory { .. } => "narrow it with `WHERE date >= …`, or group by fewer columns",
            Self::TooLarge { .. } => "select fewer columns or add a LIMIT",
            Self::Busy { .. } => "ask again in a moment",
            Self::Lake(_) => "check that the worker runs and that the configured lake is the one it writes to",
            Self::Storage(_) => {
                "check that the object store answers and that nothing but whopulls removes files of the table"
            }
            Self::Internal(_) => "this is a defect: please report it with the query",
        }
    }

    /// `memory_bytes_max` is what the pool was made with.
    pub(super) fn of_datafusion(error: &DataFusionError, memory_bytes_max: usize) -> Self {
        let message = || error.strip_backtrace();
        match error.find_root() {
            DataFusionError::SQL(parser, _) => Self::Syntax(match parser.as_ref() {
                ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
                ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
            }),
            DataFusionError::Plan(text)
            | DataFusionError::NotImplemented(text)
            | DataFusionError::Configuration(text) => Self::Invalid(text.clone()),
            DataFusionError::SchemaError(..) | DataFusionError::Collection(_) | DataFusionError::Diagnostic(..) => {
                Self::Invalid(message())
            }
            DataFusionError::Execution(text) => Self::Failed(text.clone()),
            DataFusionError::ArrowError(source, _) => Self::Failed(source.to_string()),
            DataFusionError::ResourcesExhausted(_) => Self::Memory { memory_bytes_max },
            DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
                Self::Storage(message())
            }
            DataFusionError::Internal(_)
            | DataFusionError::ExecutionJoin(_)
            | DataFusionError::External(_)
            | DataFusionError::Context(..)
            | DataFusionError::Substrait(_)
            | DataFusionError::Shared(_)
            | DataFusionError::Ffi(_) => Self::Internal(message()),
        }
    }
}
