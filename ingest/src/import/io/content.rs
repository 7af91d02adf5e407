//! What is in a file: as it is, or unpacked, which its first bytes say and not its name.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use zstd::stream::read::Decoder;

pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// A log of more than 1 TiB is no log: a few megabytes of gzip can hold it, and nobody would wait for it to be read.
pub const DECOMPRESSED_BYTES_MAX: u64 = 1 << 40;

/// zstd keeps a window of what it unpacked: 128 MiB, the most that `zstd -d` takes by itself.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The content, unpacked, from its beginning. Of gzip and zstd several files may stand one behind the other.
pub(super) fn reader(file: &File) -> io::Result<Box<dyn Read + Send>> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut begin = Vec::with_capacity(ZSTD.len());
    (&mut file).take(ZSTD.len() as u64).read_to_end(&mut begin)?;
    file.rewind()?;
    if begin.starts_with(GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))));
    }
    if begin.starts_with(ZSTD) {
        let mut decoder = Decoder::new(file)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(file))
}

/// The size of the content and the start of its SHA-256. It is of the unpacked content: a log that was imported and then packed by a
/// rotation is the same log.
pub(super) fn identity(file: &File, bytes_max: u64) -> io::Result<(u64, String)> {
    let mut content = reader(file)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size = 0;
    loop {
        let read = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size += read as u64;
        if size > bytes_max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("unpacked it is over {bytes_max} bytes")));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    let hash = hasher.finalize();
    Ok((size, hash.iter().take(8).flat_map(|b| [b >> 4, b & 15]).map(hex_digit).collect()))
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}
