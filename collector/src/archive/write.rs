//! Writes an export file, batch by batch. Next: `read`.

use std::io::{self, Write};

use super::{Batch, Compression, Format, MEMBER, checksum, field};
use crate::otlp::{Signal, json::to_json};

/// A file that is written.
pub struct Writer<W: Write> {
    out: Encoder<W>,
    format: Format,
}

enum Encoder<W: Write> {
    Plain(io::BufWriter<W>),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Writer<W> {
    /// An empty file.
    ///
    /// # Errors
    /// If the compressor cannot be made.
    pub fn new(out: W, format: Format, compression: Compression) -> io::Result<Self> {
        let out = match compression {
            Compression::None => Encoder::Plain(io::BufWriter::new(out)),
            Compression::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(
                out,
                flate2::Compression::new(6),
            )),
            Compression::Zstd => Encoder::Zstd(zstd::stream::write::Encoder::new(out, 3)?),
        };
        Ok(Self { out, format })
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// `InvalidData` if its request is not well formed; otherwise what `out` reports.
    pub fn add(&mut self, batch: &Batch) -> io::Result<()> {
        match self.format {
            Format::Proto => self.write(&proto(batch)),
            Format::Json => {
                let line = json_line(batch)?;
                self.write(line.as_bytes())
            }
        }
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn finish(self) -> io::Result<W> {
        match self.out {
            Encoder::Plain(out) => out.into_inner().map_err(io::IntoInnerError::into_error),
            Encoder::Gzip(out) => out.finish(),
            Encoder::Zstd(out) => out.finish(),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.out {
            Encoder::Plain(out) => out.write_all(data),
            Encoder::Gzip(out) => out.write_all(data),
            Encoder::Zstd(out) => out.write_all(data),
        }
    }
}

fn proto(batch: &Batch) -> Vec<u8> {
    const VARINT_BYTES_MAX: usize = 10;
    let Batch {
        range,
        born_min,
        born_max,
        request,
    } = batch;
    let text = range.to_string();
    let mut inner = Vec::with_capacity(request.len() + 128);
    put_bytes(&mut inner, field::RANGE, text.as_bytes());
    for (tag, value) in [(field::BORN_MIN, born_min), (field::BORN_MAX, born_max)] {
        put_varint(&mut inner, u64::from(tag << 3 | 1));
        inner.extend(value.to_le_bytes());
    }
    put_varint(&mut inner, u64::from(field::CRC << 3 | 5));
    let crc = checksum(&text, *born_min, *born_max, request);
    inner.extend(crc.to_le_bytes());
    put_bytes(&mut inner, request_field(range.signal), request);
    let mut out = Vec::with_capacity(inner.len() + 1 + VARINT_BYTES_MAX);
    put_bytes(&mut out, field::BATCHES, &inner);
    out
}

/// The field that holds the request of a signal.
pub(super) fn request_field(signal: Signal) -> u32 {
    field::REQUEST + signal.index() as u32
}

fn put_bytes(out: &mut Vec<u8>, tag: u32, data: &[u8]) {
    put_varint(out, u64::from(tag << 3 | 2));
    put_varint(out, data.len() as u64);
    out.extend_from_slice(data);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn json_line(batch: &Batch) -> io::Result<String> {
    let request = to_json(batch.range.signal, &batch.request)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let ours = serde_json::json!({
        "batch": batch.range.to_string(),
        // As texts, for JSON's numbers are not exact beyond 2^53.
        "born": [batch.born_min.to_string(), batch.born_max.to_string()],
        "signal": batch.range.signal.name(),
    });
    // An object's inside, without its braces.
    let members = request.get(1..).unwrap_or("}");
    let comma = if members == "}" { "" } else { "," };
    Ok(format!("{{\"{MEMBER}\":{ours}{comma}{members}\n"))
}
