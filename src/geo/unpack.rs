//! A download taken out of its wrapping, which is told by its content: gzip, zstd, a tar with one database in it, or none.

use std::io::{self, Cursor, ErrorKind, Read, Write};

use flate2::read::MultiGzDecoder;
use thiserror::Error;

/// As many bytes as [`packing`] looks at: a tar says what it is at its 257th.
const HEAD_BYTES: u64 = 512;

/// Why a download cannot be unpacked.
#[derive(Debug, Error)]
pub(super) enum UnpackError {
    /// It is cut off, damaged or too large, or the disk is full.
    #[error("unpack it")]
    Io(#[from] io::Error),
    /// An archive of something else.
    #[error("it is a tar without an .mmdb file: is `url` the one of the MMDB format?")]
    NoDatabase,
    /// Which of them is wanted is not known.
    #[error("it is a tar with more than one .mmdb file: only one can be kept")]
    SeveralDatabases,
    /// Not how anybody publishes a database.
    #[error("it is compressed twice")]
    Twice,
}

/// How the content of a file is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Tar,
    /// A database, or something that is none: opening it tells.
    Plain,
}

fn packing(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, 0x08, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        _ if head.get(257..262) == Some(b"ustar") => Packing::Tar,
        _ => Packing::Plain,
    }
}

/// Writes the database that `packed` holds, of at most `bytes_max`; so much is read of what is decompressed, too.
pub(super) fn unpack(packed: impl Read, out: &mut impl Write, bytes_max: u64) -> Result<(), UnpackError> {
    let (head, packed) = peeked(packed)?;
    match packing(&head) {
        Packing::Gzip => decompressed(MultiGzDecoder::new(packed), out, bytes_max),
        Packing::Zstd => decompressed(zstd::Decoder::new(packed)?, out, bytes_max),
        Packing::Tar | Packing::Plain => decompressed(packed, out, bytes_max),
    }
}

fn decompressed(from: impl Read, out: &mut impl Write, bytes_max: u64) -> Result<(), UnpackError> {
    let (head, from) = peeked(Bounded::new(from, bytes_max))?;
    match packing(&head) {
        Packing::Gzip | Packing::Zstd => Err(UnpackError::Twice),
        Packing::Tar => member(from, out, bytes_max),
        Packing::Plain => copied(from, out),
    }
}

/// The one database of a tar. No name in it is used as a path.
fn member(from: impl Read, out: &mut impl Write, bytes_max: u64) -> Result<(), UnpackError> {
    let mut is_found = false;
    for entry in tar::Archive::new(from).entries()? {
        let entry = entry?;
        let is_named = entry.path_bytes().to_ascii_lowercase().ends_with(b".mmdb");
        if !is_named || !entry.header().entry_type().is_file() {
            continue;
        }
        if is_found {
            return Err(UnpackError::SeveralDatabases);
        }
        // A sparse member is longer than what the tar has of it.
        copied(Bounded::new(entry, bytes_max), out)?;
        is_found = true;
    }
    if is_found { Ok(()) } else { Err(UnpackError::NoDatabase) }
}

fn copied(mut from: impl Read, out: &mut impl Write) -> Result<(), UnpackError> {
    io::copy(&mut from, out)?;
    Ok(())
}

/// The beginning, and a reader of the whole.
fn peeked<R: Read>(mut from: R) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::new();
    from.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(from)))
}

/// A reader that fails when there is more than may be; one that ends there would make half a file of it.
struct Bounded<R> {
    from: R,
    left: u64,
    bytes_max: u64,
}

impl<R> Bounded<R> {
    const fn new(from: R, bytes_max: u64) -> Self {
        Self { from, left: bytes_max, bytes_max }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            let message = format!("it has more than {} bytes when unpacked, which is the most", self.bytes_max);
            return Err(io::Error::new(ErrorKind::FileTooLarge, message));
        };
        self.left = left;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: u64 = 16 << 10;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).expect("memory takes it")
    }

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).expect("memory takes it");
        }
        builder.into_inner().expect("memory takes it")
    }

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let done = unpack(packed, &mut out, BYTES_MAX);
        done.map(|()| out).map_err(|error| match error {
            UnpackError::Io(source) => source.to_string(),
            other @ (UnpackError::NoDatabase | UnpackError::SeveralDatabases | UnpackError::Twice) => other.to_string(),
        })
    }

    #[track_caller]
    fn gives(packed: &[u8], expected: &[u8]) {
        assert_eq!(unpacked(packed).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn refuses(packed: &[u8], why: &str) {
        let told = unpacked(packed).expect_err("a refusal");
        assert!(told.contains(why), "{why} in {told}");
    }

    #[test]
    fn wrapping_is_told_by_content() {
        let plain: Vec<u8> = (0..3000_u32).flat_map(u32::to_le_bytes).collect();
        let archive = tar(&[("x/README.txt", b"read me"), ("x/Asn.MMDB", &plain), ("x/LICENSE", b"")]);
        gives(&plain, &plain);
        gives(&gzip(&plain), &plain);
        gives(&zstd(&plain), &plain);
        gives(&archive, &plain);
        gives(&gzip(&archive), &plain);
        gives(&zstd(&archive), &plain);
        gives(b"", b"");
        gives(b"\x1f", b"\x1f");
        // Both formats allow one stream behind another.
        gives(&[gzip(b"ab"), gzip(b"cd")].concat(), b"abcd");
        gives(&[zstd(b"ab"), zstd(b"cd")].concat(), b"abcd");
    }

    #[test]
    fn an_archive_has_one_database() {
        refuses(&gzip(&tar(&[("a.csv", b"1,2")])), "without an .mmdb");
        refuses(&tar(&[("a.mmdb", b"1"), ("b.mmdb", b"2")]), "more than one");
        refuses(&gzip(&zstd(b"1")), "twice");
    }

    #[test]
    fn what_is_cut_off_or_grows_without_end_is_refused() {
        let (packed, archive) = (gzip(&[7; 4000]), tar(&[("a.mmdb", &[7; 4000])]));
        let cut = |bytes: &[u8], length: usize| bytes.get(..length).expect("it is longer").to_vec();
        assert!(unpacked(&cut(&packed, packed.len() - 9)).is_err());
        assert!(unpacked(&cut(&zstd(&[7; 4000]), 14)).is_err());
        assert!(unpacked(&cut(&archive, 3000)).is_err());
        let most = usize::try_from(BYTES_MAX).expect("it is small");
        gives(&gzip(&vec![0; most]), &vec![0; most]);
        let more = vec![0; most + 1];
        for packed in [more.clone(), gzip(&more), zstd(&more), gzip(&tar(&[("a.mmdb", &more)]))] {
            refuses(&packed, "more than 16384 bytes");
        }
    }
}
