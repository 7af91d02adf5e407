//! The parts of a user agent: `product/version (comment) product/version`.

/// A product, and the comment that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product<'a> {
    pub(super) name: &'a str,
    pub(super) version: Option<&'a str>,
    pub(super) comment: Option<&'a str>,
}

/// The products in order. Comments may nest; one that does not end reaches to the end.
pub(super) fn products(user_agent: &str) -> impl Iterator<Item = Product<'_>> {
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

/// The version of the first product of that name, in whatever case.
pub(super) fn product<'a>(user_agent: &'a str, wanted: &str) -> Option<&'a str> {
    products(user_agent).find(|product| product.name.eq_ignore_ascii_case(wanted))?.version
}

/// The client's own user agent that Docker's engine carries as `UpstreamClient(...)`, with its escapes undone.
pub(super) fn nested_upstream(user_agent: &str) -> Option<String> {
    let nested = products(user_agent).find(|product| product.name == "UpstreamClient")?.comment?;
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
