//! Compressed files, told by their first bytes.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

const BUFFER_BYTES: usize = 128 * 1024;

/// How many bytes of a source were read, before decompression. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct ByteCounter(Arc<AtomicU64>);

impl ByteCounter {
    /// The bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    inner: R,
    counter: ByteCounter,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.counter.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

type Input = BufReader<Counted<Box<dyn Read + Send>>>;

/// Returns the plain bytes of a source that may be gzip or zstd; anything else passes unchanged.
pub(super) fn decompressed(
    source: Box<dyn Read + Send>,
    counter: ByteCounter,
) -> io::Result<Box<dyn Read + Send>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, Counted { inner: source, counter });
    let head = input.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(MultiGzDecoder::new(input)));
    }
    if head.starts_with(&ZSTD_MAGIC) {
        return Ok(Box::new(ZstdFrames { state: Frame::Between(input) }));
    }
    Ok(Box::new(input))
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// One zstd frame after the other: parallel compressors write many.
struct ZstdFrames {
    state: Frame,
}

enum Frame {
    Inside(Box<StreamingDecoder<Input, ruzstd::decoding::FrameDecoder>>),
    Between(Input),
    Over,
}

impl Read for ZstdFrames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, Frame::Over) {
                Frame::Over => return Ok(0),
                Frame::Between(mut input) => {
                    if input.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(input).map_err(io::Error::other)?;
                    self.state = Frame::Inside(Box::new(decoder));
                }
                Frame::Inside(mut decoder) => {
                    let read = decoder.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        self.state = Frame::Inside(decoder);
                        return Ok(read);
                    }
                    self.state = Frame::Between(decoder.into_inner());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    fn read(bytes: Vec<u8>) -> io::Result<(String, u64)> {
        let counter = ByteCounter::default();
        let mut text = String::new();
        decompressed(Box::new(io::Cursor::new(bytes)), counter.clone())?
            .read_to_string(&mut text)?;
        Ok((text, counter.bytes()))
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
    }

    #[test]
    fn compression_is_told_by_the_first_bytes_and_parts_are_joined() {
        assert_eq!(read(b"plain".to_vec()).unwrap().0, "plain");
        assert_eq!(read([gzip("one "), gzip("two")].concat()).unwrap().0, "one two");
        assert_eq!(read([zstd("one "), zstd("two")].concat()).unwrap().0, "one two");
        assert_eq!(read(Vec::new()).unwrap(), (String::new(), 0));
    }

    #[test]
    fn a_cut_file_is_an_error_and_not_an_end() {
        let text = "flow ".repeat(50_000);
        for mut bytes in [gzip(&text), zstd(&text)] {
            bytes.truncate(bytes.len() / 2);
            assert!(read(bytes).is_err());
        }
    }
}
