//! The names of the formats.

use std::fmt;
use std::sync::Arc;

use super::format::{LogTemplate, LogTemplateError};

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A format that has a name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LogFormat {
            $($(#[$doc])* $variant,)+
        }

        impl LogFormat {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What the command line calls it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

formats! {
    /// nginx `combined`; what a `log_format` adds at the end is passed over.
    Nginx = "nginx",
    /// Apache `common` or `combined`, line by line.
    Apache = "apache",
    /// Apache `vhost_combined`: `host:port` stands before `combined`.
    ApacheVhost = "apache-vhost",
    /// Caddy's JSON.
    Caddy = "caddy",
    /// CloudFront's standard log.
    CloudFront = "cloudfront",
    /// AWS load balancers, application and classic.
    Alb = "alb",
    /// S3's server access log.
    S3 = "s3",
    /// Fastly's JSON.
    Fastly = "fastly",
    /// RubyGems.org's log at Fastly.
    Rubygems = "rubygems",
    /// PyPI's log for linehaul.
    Linehaul = "linehaul",
    /// Google Cloud Storage's usage log.
    Gcs = "gcs",
    /// The Distribution registry's JSON.
    Registry = "registry",
    /// Artifactory's request log.
    Artifactory = "artifactory",
    /// Records of our own schema.
    Whopulls = "whopulls",
    /// Scarf's export of events.
    Scarf = "scarf",
    /// Docker's tracked companies report: sums, and no requests.
    Docker = "docker",
}

impl LogFormat {
    /// The names of all, for a message.
    pub fn names() -> String {
        let names: Vec<&str> = Self::ALL.iter().map(|format| format.as_str()).collect();
        names.join(", ")
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The shape of the lines, as the user says it.
#[derive(Debug, Clone)]
pub enum Shape {
    /// To be seen from the first lines of each file.
    Auto,
    /// A format that has a name.
    Known(LogFormat),
    /// An nginx `log_format`.
    Template(Arc<LogTemplate>),
}

/// What the user says is no shape of lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// No such name.
    #[error("`{0}` is none of the formats auto, {names}", names = LogFormat::names())]
    Name(String),
    /// A `log_format` belongs to nginx.
    #[error("a log_format is nginx's: leave --format out, or say --format nginx")]
    NotNginx,
    /// The `log_format` is bad.
    #[error("the log_format cannot be read back")]
    Template(#[from] LogTemplateError),
}

impl Shape {
    /// From a format's name, or `auto`, and an nginx `log_format`. With neither, the shape is seen from the lines.
    ///
    /// # Errors
    /// There is no such format, or the `log_format` is malformed.
    pub fn parse(name: Option<&str>, log_format: Option<&str>) -> Result<Self, ShapeError> {
        if let Some(text) = log_format {
            return match name {
                None | Some("nginx") => Ok(Self::Template(Arc::new(LogTemplate::compile(text)?))),
                Some(_) => Err(ShapeError::NotNginx),
            };
        }
        match name {
            None | Some("auto") => Ok(Self::Auto),
            Some(name) => {
                let found = LogFormat::ALL.iter().find(|format| format.as_str() == name);
                found.map(|format| Self::Known(*format)).ok_or_else(|| ShapeError::Name(name.to_owned()))
            }
        }
    }
}

impl From<LogFormat> for Shape {
    fn from(format: LogFormat) -> Self {
        Self::Known(format)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Known(format) => format.fmt(f),
            Self::Template(_) => f.write_str("the log_format given"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_again_and_no_other() {
        for format in LogFormat::ALL {
            assert_eq!(Shape::parse(Some(format.as_str()), None).expect("a format").to_string(), format.as_str());
        }
        assert!(matches!(Shape::parse(None, None), Ok(Shape::Auto)));
        let error = Shape::parse(Some("squid"), None).expect_err("no format").to_string();
        assert!(error.contains("squid") && error.contains("cloudfront"), "{error}");
        assert_eq!(Shape::parse(Some("caddy"), Some("$status")).err(), Some(ShapeError::NotNginx));
        assert!(matches!(Shape::parse(None, Some("$msec $status $request")), Ok(Shape::Template(_))));
    }
}
