//! A reader's durable position, as the text of its cursor file: `next <seq> crc32c <hex>`.

/// The cursor file's text.
pub(crate) fn encode(next_seq: u64) -> String {
    format!("next {next_seq} crc32c {:08x}\n", crc32c::crc32c(&next_seq.to_le_bytes()))
}

/// The position, or `None` when the text is not a whole cursor.
pub(crate) fn decode(text: &str) -> Option<u64> {
    let next_seq = text.strip_prefix("next ")?.split(' ').next()?.parse().ok()?;
    (encode(next_seq) == text).then_some(next_seq)
}

/// Reader names become file names: letters, digits, `-`, `_` and `.`, and not a hidden or temporary file.
pub(crate) fn is_reader_name(name: &str) -> bool {
    let shaped = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    shaped && (1..=64).contains(&name.len()) && !name.starts_with('.') && !name.ends_with(TEMPORARY_SUFFIX)
}

/// The ending of a cursor file that is not in force yet.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_a_damaged_one_does_not() {
        let text = encode((9 << 32) + 5);
        assert_eq!(decode(&text), Some((9 << 32) + 5));
        assert_eq!(decode(&text.replace('9', "8")), None);
        assert_eq!(decode(text.trim_end()), None);
        assert_eq!(decode(""), None);
    }

    #[test]
    fn a_reader_name_cannot_leave_its_directory() {
        assert!(is_reader_name("kafka-access.raw"));
        for name in ["", "..", "a/b", ".hidden", "x.tmp", "name with space"] {
            assert!(!is_reader_name(name), "{name}");
        }
    }
}
