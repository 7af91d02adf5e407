//! One page for people: the organizations and the coverage, without scripts and without a request to anyone else.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::App;
use super::api::{OrganizationsParameters, Parameters, unknown_parameter};
use super::problem::Problem;
use crate::format::with_thousands;
use crate::organizations::{OrganizationsAnswer, PerClass, organizations, percentages};

/// What the page may do in a browser: show itself in its own style and send its form to its own server.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("page.css");

pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")], STYLE)
}

pub(super) async fn page(State(app): State<Arc<App>>, parameters: Parameters) -> Response {
    let (asked, answer) = match parameters {
        Ok(Query(asked)) => {
            let answer = answer(&app, &asked).await;
            (asked, answer)
        }
        Err(rejection) => (OrganizationsParameters::default(), Err(unknown_parameter(&rejection))),
    };
    let status = answer.as_ref().map_or_else(Problem::status, |_| StatusCode::OK);
    (status, Html(render(&asked, &answer))).into_response()
}

async fn answer(app: &App, asked: &OrganizationsParameters) -> Result<OrganizationsAnswer, Problem> {
    Ok(organizations(&app.engine, &asked.question()?).await?)
}

fn render(asked: &OrganizationsParameters, answer: &Result<OrganizationsAnswer, Problem>) -> String {
    let value = |value: &Option<String>| escaped(value.as_deref().unwrap_or_default());
    let body = match answer {
        Ok(answer) => format!("{}{}", coverage(answer), ranking(answer)),
        Err(problem) => format!("<p class=\"problem\" role=\"alert\">{}</p>", escaped(&problem.sentence())),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Who pulls</title>\
         <link rel=\"stylesheet\" href=\"page.css\"></head><body><main><h1>Who pulls</h1>\
         <form method=\"get\" action=\"./\">\
         <label>Package <input name=\"package\" value=\"{}\" autocomplete=\"off\"></label>\
         <label>From <input type=\"date\" name=\"from\" value=\"{}\"></label>\
         <label>To <input type=\"date\" name=\"to\" value=\"{}\"></label>\
         <button>Show</button></form>{body}</main></body></html>\n",
        value(&asked.package),
        value(&asked.from),
        value(&asked.to),
    )
}

fn coverage(answer: &OrganizationsAnswer) -> String {
    let coverage = &answer.coverage;
    let mut text = String::from("<section><h2>Coverage</h2><table class=\"coverage\"><thead><tr><th></th><th></th>");
    for (class, _) in coverage.download_counts.in_order() {
        push(&mut text, format_args!("<th class=\"number\"><i class=\"{0}\"></i> {0}</th>", class.word()));
    }
    text.push_str("<th class=\"number\">all</th></tr></thead><tbody>");
    for (name, counts, total) in [
        ("downloads", &coverage.download_counts, coverage.total_downloads),
        ("endpoints", &coverage.endpoint_counts, coverage.total_endpoints),
    ] {
        push(&mut text, format_args!("<tr><th scope=\"row\">{name}</th><td class=\"bar\">{}</td>", bar(counts)));
        for (_, percent) in percentages(counts).in_order() {
            push(&mut text, format_args!("<td class=\"number\">{percent} %</td>"));
        }
        push(&mut text, format_args!("<td class=\"number\">{}</td></tr>", thousands(total)));
    }
    text.push_str("</tbody></table></section>");
    text
}

/// A bar of a hundred units: one piece for each class.
fn bar(counts: &PerClass<u64>) -> String {
    let mut text = String::from("<svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    let mut start = 0.0_f64;
    for (class, percent) in percentages(counts).in_order() {
        let width: f64 = percent.parse().unwrap_or_default();
        let word = class.word();
        push(&mut text, format_args!("<rect class=\"{word}\" x=\"{start:.1}\" width=\"{width:.1}\" height=\"8\"/>"));
        start += width;
    }
    text.push_str("</svg>");
    text
}

fn ranking(answer: &OrganizationsAnswer) -> String {
    if answer.organizations.is_empty() {
        return "<p>No organization is known to have downloaded this.</p>".to_owned();
    }
    let shown = thousands(answer.organizations.len() as u64);
    let mut text = format!(
        "<section><h2>Organizations <small>{shown} of {}</small></h2><table><thead><tr><th>organization</th>\
         <th>kind</th><th>domain</th><th class=\"number\">downloads</th><th class=\"number\">endpoints</th>\
         <th>first seen</th><th>last seen</th><th class=\"number\">confidence</th></tr></thead><tbody>",
        thousands(answer.total_organizations)
    );
    for organization in &answer.organizations {
        let cell = |value: &Option<String>| escaped(value.as_deref().unwrap_or_default());
        let day = |moment: &Option<String>| {
            escaped(moment.as_deref().and_then(|moment| moment.split('T').next()).unwrap_or_default())
        };
        let confidence = organization.confidence.map(|confidence| format!("{confidence:.2}")).unwrap_or_default();
        push(
            &mut text,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td>{}</td><td>{}</td><td class=\"number\">{confidence}</td></tr>",
                escaped(organization.name.as_deref().unwrap_or(&organization.org_id)),
                cell(&organization.kind),
                cell(&organization.domain),
                thousands(organization.downloads),
                thousands(organization.endpoints),
                day(&organization.first_seen),
                day(&organization.last_seen),
            ),
        );
    }
    text.push_str("</tbody></table></section>");
    text
}

fn thousands(number: u64) -> String {
    with_thousands(&number.to_string())
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    _ = text.write_fmt(arguments);
}

/// Names come from databases and strangers.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}
