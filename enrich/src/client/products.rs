//! The parts of a user agent: `product/version (comment) product/version`.

/// More products are not looked at; nobody who means well has half as many.
const PRODUCTS_MAX: usize = 64;

/// A user agent, taken apart.
#[derive(Debug)]
pub(super) struct UserAgent<'a> {
    pub(super) text: &'a str,
    /// The same in lower case; byte for byte as long.
    pub(super) lower: String,
    pub(super) products: Vec<Product<'a>>,
    /// The JSON object that pip and uv append, from its bracket on.
    pub(super) details: Option<&'a str>,
}

/// A product, and the comment that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product<'a> {
    pub(super) name: &'a str,
    pub(super) version: Option<&'a str>,
    pub(super) comment: Option<&'a str>,
}

impl<'a> UserAgent<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (head, details) = match text.find(" {").and_then(|end| text.split_at_checked(end)) {
            Some((head, details)) => (head, Some(details.trim_start())),
            None => (text, None),
        };
        let products = products(head).take(PRODUCTS_MAX).collect();
        Self { text, lower: text.to_ascii_lowercase(), products, details }
    }

    /// The version of the first product of that name, in whatever case: `name/1.2`, or `name 1.2`.
    pub(super) fn version_of(&self, wanted: &str) -> Option<&'a str> {
        let index = self.products.iter().position(|product| product.name.eq_ignore_ascii_case(wanted))?;
        let product = self.products.get(index)?;
        product.version.or_else(|| {
            let next = self.products.get(index + 1).filter(|_| product.comment.is_none())?;
            next.name.starts_with(|first: char| first.is_ascii_digit()).then_some(next.name)
        })
    }

    /// The first comment.
    pub(super) fn comment(&self) -> Option<&'a str> {
        self.products.iter().find_map(|product| product.comment)
    }

    /// The client's own user agent that Docker's engine carries as `UpstreamClient(...)`, with its escapes undone.
    pub(super) fn nested_upstream(&self) -> Option<String> {
        let nested = self.products.iter().find(|product| product.name == "UpstreamClient")?.comment?;
        let mut plain = String::with_capacity(nested.len());
        let mut escaped = false;
        for character in nested.chars() {
            if character == '\\' && !escaped {
                escaped = true;
            } else {
                plain.push(character);
                escaped = false;
            }
        }
        Some(plain)
    }

    /// Whether it says that it runs in continuous integration: npm's `ci/github-actions`, Composer's `(...; CI)`.
    pub(super) fn says_ci(&self) -> bool {
        let is_name = |name: &str| !["", "false", "none", "null", "undefined"].contains(&name);
        self.products.iter().any(|product| {
            let named = product.name.eq_ignore_ascii_case("ci") && product.version.is_some_and(is_name);
            let items = product.comment.into_iter().flat_map(|comment| comment.split(';'));
            named || items.map(str::trim).any(|item| item.eq_ignore_ascii_case("ci"))
        })
    }
}

/// The products in order. Comments may nest; one that does not end reaches to the end.
fn products(user_agent: &str) -> impl Iterator<Item = Product<'_>> {
    let mut rest = user_agent;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let end = rest.find([' ', '(']).unwrap_or(rest.len());
        let (token, after) = rest.split_at_checked(end)?;
        let (comment, after) = comment(after.trim_start());
        rest = after;
        let (name, version) = token.split_once('/').map_or((token, None), |(name, version)| (name, Some(version)));
        Some(Product { name, version, comment })
    })
}

/// What stands in the round brackets at the beginning, and what follows them.
fn comment(text: &str) -> (Option<&str>, &str) {
    let Some(inner) = text.strip_prefix('(') else { return (None, text) };
    let mut depth = 1_usize;
    let mut escaped = false;
    for (index, character) in inner.char_indices() {
        match character {
            _ if escaped => {
                escaped = false;
                continue;
            }
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let (inner, after) = inner.split_at_checked(index).unwrap_or((inner, ""));
            return (Some(inner), after.strip_prefix(')').unwrap_or(after));
        }
    }
    (Some(inner), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_in_a_comment_belongs_to_it() {
        let parts: Vec<_> =
            products("a/1 (x (y/2) z) b/3").map(|part| (part.name, part.version, part.comment)).collect();
        assert_eq!(parts, [("a", Some("1"), Some("x (y/2) z")), ("b", Some("3"), None)]);
    }

    #[test]
    fn escapes_of_a_nested_client_are_undone_once() {
        let user_agent = UserAgent::parse(r"docker/1 UpstreamClient(a \(b \\\(c\) d\) e) f/2");
        assert_eq!(user_agent.nested_upstream().as_deref(), Some(r"a (b \(c) d) e"));
        assert_eq!(user_agent.version_of("f"), Some("2"));
    }

    #[test]
    fn products_are_bounded() {
        assert_eq!(UserAgent::parse(&"a/1 ".repeat(1000)).products.len(), PRODUCTS_MAX);
    }
}
