//! Words at the beginning of which no letter or digit stands: `darwin` is in `(darwin)`, not in `mydarwin`.

/// A word to look for, in lower case, and what it stands for.
#[derive(Debug, Clone, Copy)]
struct Word {
    text: &'static str,
    /// Whether letters or digits may follow.
    goes_on: bool,
    meaning: &'static str,
}

/// Words by their first byte, each list in the order of precedence, so that a text is passed through once for all of them.
#[derive(Debug)]
pub(super) struct Words {
    by_first: Vec<Vec<(usize, Word)>>,
}

impl Words {
    /// The words, the first one before the others; one that ends with `*` may go on.
    pub(super) fn new(words: impl Iterator<Item = (&'static str, &'static str)>) -> Self {
        let mut by_first = vec![Vec::new(); 1 + usize::from(u8::MAX)];
        for (rank, (text, meaning)) in words.enumerate() {
            let (text, goes_on) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
            if let Some(list) = text.bytes().next().and_then(|first| by_first.get_mut(usize::from(first))) {
                list.push((rank, Word { text, goes_on, meaning }));
            }
        }
        Self { by_first }
    }

    /// The meaning of the word that precedes the others of a text, which is in lower case.
    pub(super) fn find(&self, lower: &str) -> Option<&'static str> {
        let mut found: Option<(usize, &'static str)> = None;
        let mut after_word = false;
        for (start, byte) in lower.bytes().enumerate() {
            if !after_word {
                let precedes = |rank: usize| found.is_none_or(|(known, _)| rank < known);
                let list = self.by_first.get(usize::from(byte)).map_or(&[][..], Vec::as_slice);
                let rest = lower.get(start..).unwrap_or_default();
                if let Some((rank, word)) = list.iter().find(|(rank, word)| precedes(*rank) && word.begins(rest)) {
                    found = Some((*rank, word.meaning));
                }
            }
            after_word = byte.is_ascii_alphanumeric();
        }
        found.map(|(_, meaning)| meaning)
    }
}

impl Word {
    fn begins(&self, rest: &str) -> bool {
        rest.strip_prefix(self.text)
            .is_some_and(|after| self.goes_on || !after.starts_with(|next: char| next.is_ascii_alphanumeric()))
    }
}
