//! A short text of sections, written once and shown as HTML or as plain text.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Columns of the plain text.
const WIDTH: usize = 80;

/// What a browser is told about colours and sizes. The ratios of text to ground are above 7 to 1 in both schemes.
const STYLE: &str = ":root{color-scheme:light dark;--ink:#1a1a1a;--ground:#fff;--quiet:#4a4a4a;--link:#0b4f9e;--rule:#d0d0d0}\
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--ground:#16181b;--quiet:#bdbdbd;--link:#9cc8ff;--rule:#3a3d42}}\
body{margin:0;background:var(--ground);color:var(--ink);font:1rem/1.6 system-ui,sans-serif}\
main{max-width:42rem;margin:0 auto;padding:2rem 1.25rem 4rem;overflow-wrap:break-word}\
h1{font-size:1.75rem;line-height:1.25;margin:0 0 1rem}\
h2{font-size:1.2rem;line-height:1.3;margin:2.25rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--rule)}\
p,ul{margin:.5rem 0}li{margin:.3rem 0}ul{padding-left:1.25rem}a{color:var(--link)}\
footer{margin-top:2.5rem;color:var(--quiet);font-size:.9rem}";

/// A title, what stands under it, and sections.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) title: String,
    pub(crate) opening: Vec<Block>,
    pub(crate) sections: Vec<Section>,
    pub(crate) footer: String,
}

/// A heading and what stands under it.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    pub(crate) blocks: Vec<Block>,
}

/// A paragraph, a list, or a line that leads somewhere.
#[derive(Debug)]
pub(crate) enum Block {
    Text(String),
    List(Vec<String>),
    /// What is said before it, and an address of mail, a URL, or anything else to reach somebody by.
    Contact(&'static str, String),
}

impl Document {
    /// A page that needs nothing else: no script, no font, no picture.
    pub(crate) fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        self.opening.iter().for_each(|block| page.push_str(&block.html()));
        for section in &self.sections {
            write_to(&mut page, format_args!("<section>\n<h2>{}</h2>\n", escaped(section.heading)));
            section.blocks.iter().for_each(|block| page.push_str(&block.html()));
            page.push_str("</section>\n");
        }
        write_to(&mut page, format_args!("<footer>{}</footer>\n</main>\n</body>\n</html>\n", escaped(&self.footer)));
        page
    }

    /// The same words for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut page = format!("{}\n{}\n\n", self.title, "=".repeat(self.title.chars().count().min(WIDTH)));
        self.opening.iter().for_each(|block| page.push_str(&block.text()));
        for Section { heading, blocks } in &self.sections {
            write_to(&mut page, format_args!("{heading}\n{}\n\n", "-".repeat(heading.chars().count())));
            for block in blocks {
                page.push_str(&block.text());
            }
        }
        page.push_str(&wrapped(&self.footer, ""));
        page
    }

    /// The `Content-Security-Policy` under which the page looks right: nothing is loaded, and no style but its own applies.
    pub(crate) fn policy() -> String {
        let style = STANDARD.encode(Sha256::digest(STYLE));
        format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    }
}

impl Block {
    fn html(&self) -> String {
        match self {
            Self::Text(text) => format!("<p>{}</p>\n", escaped(text)),
            Self::List(items) => {
                let items =
                    items.iter().fold(String::new(), |list, item| list + &format!("<li>{}</li>\n", escaped(item)));
                format!("<ul>\n{items}</ul>\n")
            }
            Self::Contact(before, contact) => {
                let shown = escaped(contact);
                let linked = link(contact)
                    .map_or_else(|| shown.clone(), |url| format!("<a href=\"{}\">{shown}</a>", escaped(&url)));
                format!("<p>{} {linked}</p>\n", escaped(before))
            }
        }
    }

    fn text(&self) -> String {
        let mut text = match self {
            Self::Text(text) => wrapped(text, ""),
            Self::List(items) => items.iter().map(|item| wrapped(item, "- ")).collect(),
            Self::Contact(before, contact) => wrapped(&format!("{before} {contact}"), ""),
        };
        text.push('\n');
        text
    }
}

/// Where a contact leads, when it is an address of mail or a web page.
fn link(contact: &str) -> Option<String> {
    if contact.contains(char::is_whitespace) {
        return None;
    }
    if contact.starts_with("https://") || contact.starts_with("http://") || contact.starts_with("mailto:") {
        return Some(contact.to_owned());
    }
    (contact.contains('@') && !contact.contains(':')).then(|| format!("mailto:{contact}"))
}

/// What the operator wrote cannot become markup.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut html, character| {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
        html
    })
}

/// Words in lines of at most [`WIDTH`]; `bullet` begins the first line and as many spaces the others.
fn wrapped(text: &str, bullet: &str) -> String {
    let mut page = String::new();
    let mut line = bullet.to_owned();
    let mut is_begun = false;
    for word in text.split_whitespace() {
        if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            page.push_str(&line);
            page.push('\n');
            line = " ".repeat(bullet.len());
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    page.push_str(&line);
    page.push('\n');
    page
}

/// Text grows without fail.
fn write_to(page: &mut String, text: std::fmt::Arguments<'_>) {
    if page.write_fmt(text).is_err() {
        page.push('?');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(text: &str) -> String {
        Block::Contact("Write to", text.to_owned()).html()
    }

    #[test]
    fn what_the_operator_wrote_cannot_become_markup() {
        let hostile = "<script>alert('x & \"y\"')</script>";
        let document = Document { title: hostile.to_owned(), ..Document::default() };
        assert!(!document.html().contains("<script"), "{}", document.html());
        assert!(!contact("https://example.org/\"onclick=\"x").contains("\"onclick"));
    }

    #[test]
    fn a_contact_leads_where_it_says() {
        assert!(contact("privacy@example.org").contains("href=\"mailto:privacy@example.org\""));
        assert!(contact("https://example.org/privacy").contains("href=\"https://example.org/privacy\""));
        assert!(!contact("javascript:alert(1)@x").contains("href"));
        assert!(!contact("The Example Project, 1 Main Street").contains("href"));
    }

    #[test]
    fn plain_text_keeps_to_its_width_and_loses_no_word() {
        let words = "word ".repeat(200);
        let text = wrapped(&words, "- ");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 200);
        assert!(text.lines().skip(1).all(|line| line.starts_with("  word")), "{text}");
    }
}
