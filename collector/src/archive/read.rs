//! Reads an export file, batch by batch, in either format and any compression; both are told by the first bytes.
//!
//! Nothing is taken on trust: ranges, counts and checksums are compared with what is there, lengths are bounded before
//! anything is allocated, and an error says where. Next: `core::spool`, which takes batches in.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;

use super::{Batch, MEMBER, REQUEST_BYTES_MAX, checksum, field, write::request_field};
use crate::{
    core::range::ItemRange,
    otlp::{Signal, count_items, json::from_json},
};

/// Why a file cannot be read further, and where.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub struct ReadError {
    /// `line 3`, or `byte 4711`; of the decompressed file.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

/// A file that is read.
pub struct Reader {
    input: Box<dyn BufRead + Send>,
    is_json: bool,
    /// Lines or bytes read so far.
    at: u64,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Longest line: base64 and names make JSON a few times longer than protobuf.
const LINE_BYTES_MAX: u64 = REQUEST_BYTES_MAX as u64 * 4;

impl Reader {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn new(input: impl Read + Send + 'static) -> io::Result<Self> {
        let mut plain = BufReader::new(input);
        let head = plain.fill_buf()?;
        let mut input: Box<dyn BufRead + Send> = if head.starts_with(&GZIP) {
            Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(plain)))
        } else if head.starts_with(&ZSTD) {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(plain)?;
            decoder.window_log_max(27)?;
            Box::new(BufReader::new(decoder))
        } else {
            Box::new(plain)
        };
        // A protobuf export begins with 0x0a, which is a line break: so no space may stand before the first brace.
        let is_json = input.fill_buf()?.starts_with(b"{");
        Ok(Self {
            input,
            is_json,
            at: 0,
        })
    }

    fn error(&self, why: impl ToString) -> ReadError {
        let place = match self.is_json {
            true => format!("line {}", self.at),
            false => format!("byte {}", self.at),
        };
        ReadError {
            place,
            why: why.to_string(),
        }
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// If it is not one. What came before it was right.
    #[expect(
        clippy::should_implement_trait,
        reason = "after an error there is no next one"
    )]
    pub fn next(&mut self) -> Result<Option<Batch>, ReadError> {
        match self.is_json {
            true => self.next_line(),
            false => self.next_message(),
        }
    }

    fn next_line(&mut self) -> Result<Option<Batch>, ReadError> {
        let mut line = Vec::new();
        loop {
            self.at += 1;
            line.clear();
            let mut limited = (&mut self.input).take(LINE_BYTES_MAX);
            let read = limited.read_until(b'\n', &mut line);
            match read {
                Ok(0) => return Ok(None),
                Ok(_) if line.len() as u64 == LINE_BYTES_MAX => {
                    return Err(self.error(format_args!("longer than {LINE_BYTES_MAX} bytes")));
                }
                Ok(_) => {}
                Err(error) => return Err(self.error(error)),
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let ours: Line = serde_json::from_slice(&line).map_err(|error| self.error(error))?;
        let Some(ours) = ours.backroom else {
            let why = format!(
                "no member {MEMBER:?}: it was not exported by `buffer export`, so nobody can tell repeats"
            );
            return Err(self.error(why));
        };
        let signal = Signal::ALL.into_iter().find(|s| s.name() == ours.signal);
        let signal =
            signal.ok_or_else(|| self.error(format_args!("no signal {:?}", ours.signal)))?;
        let range = ItemRange::parse(signal, &ours.batch).map_err(|error| self.error(error))?;
        let born = |text: &String| {
            let born = text.parse::<u64>();
            born.map_err(|_| {
                self.error(format_args!("born: {text:?} is not a time in nanoseconds"))
            })
        };
        let [born_min, born_max] = &ours.born;
        let (born_min, born_max) = (born(born_min)?, born(born_max)?);
        let request =
            from_json(range.signal, &line, REQUEST_BYTES_MAX).map_err(|error| self.error(error))?;
        self.checked(range, born_min, born_max, request.into())
            .map(Some)
    }

    fn next_message(&mut self) -> Result<Option<Batch>, ReadError> {
        let start = self.at;
        match self.input.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(self.error(error)),
        }
        let key = self.varint()?;
        if key != u64::from(field::BATCHES << 3 | 2) {
            self.at = start;
            return Err(self.error("not an export of `buffer export`, or damaged"));
        }
        let len = self.varint()?;
        // What is beside the request takes less than a kilobyte.
        if len > REQUEST_BYTES_MAX as u64 + 1024 {
            return Err(self.error(format_args!(
                "a batch of {len} bytes, more than {REQUEST_BYTES_MAX}"
            )));
        }
        let mut data = Vec::new();
        let read = (&mut self.input).take(len).read_to_end(&mut data);
        read.map_err(|error| self.error(error))?;
        if (data.len() as u64) < len {
            let why = format!(
                "the file ends inside a batch: {} of {len} bytes; copy it again",
                data.len()
            );
            return Err(self.error(why));
        }
        let batch = message(&data.into()).map_err(|why| self.error(why))?;
        let Message {
            range,
            born_min,
            born_max,
            request,
        } = batch;
        let batch = self.checked(range, born_min, born_max, request)?;
        self.at += len;
        Ok(Some(batch))
    }

    fn varint(&mut self) -> Result<u64, ReadError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.input
                .read_exact(&mut byte)
                .map_err(|_| self.error("the file ends inside a length; copy it again"))?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("a length of more than ten bytes"))
    }

    /// A batch whose request is what its range says.
    fn checked(
        &self,
        range: ItemRange,
        born_min: u64,
        born_max: u64,
        request: Bytes,
    ) -> Result<Batch, ReadError> {
        let signal = range.signal;
        let items = count_items(signal, &request).map_err(|error| {
            self.error(format_args!("{range}: not a {signal} request: {error}"))
        })?;
        if items != range.count || items == 0 {
            return Err(self.error(format_args!("{range}: holds {items} items")));
        }
        if born_min > born_max {
            return Err(self.error(format_args!(
                "{range}: its earliest item came in after its latest"
            )));
        }
        Ok(Batch {
            range,
            born_min,
            born_max,
            request,
        })
    }
}

#[derive(serde::Deserialize)]
struct Line {
    backroom: Option<Ours>,
}

#[derive(serde::Deserialize)]
struct Ours {
    batch: String,
    born: [String; 2],
    signal: String,
}

struct Message {
    range: ItemRange,
    born_min: u64,
    born_max: u64,
    request: Bytes,
}

/// Takes a batch apart. Fields that it does not know are skipped, so that a later version may add some.
fn message(data: &Bytes) -> Result<Message, String> {
    let mut at = 0;
    let cut = || "a field beyond the end of its batch".to_owned();
    let (mut range, mut born, mut crc, mut request) = (None, [0; 2], None, None);
    while at < data.len() {
        let key = take_varint(data, &mut at).ok_or_else(cut)?;
        let (tag, wire) = ((key >> 3) as u32, key & 7);
        let len = match wire {
            0 => {
                take_varint(data, &mut at).ok_or_else(cut)?;
                continue;
            }
            1 => 8,
            2 => take_varint(data, &mut at).ok_or_else(cut)? as usize,
            5 => 4,
            _ => return Err(format!("a field of wire type {wire}")),
        };
        let end = at
            .checked_add(len)
            .filter(|end| *end <= data.len())
            .ok_or_else(cut)?;
        let value = data.slice(at..end);
        at = end;
        let signal = Signal::ALL
            .into_iter()
            .find(|signal| request_field(*signal) == tag);
        match (tag, wire, signal) {
            (field::RANGE, 2, _) => {
                let text = std::str::from_utf8(&value)
                    .map_err(|_| "a range that is no text".to_owned())?;
                range = Some(text.to_owned());
            }
            (field::BORN_MIN | field::BORN_MAX, 1, _) => {
                let bytes = value[..].try_into().expect("8 bytes");
                born[(tag - field::BORN_MIN) as usize] = u64::from_le_bytes(bytes);
            }
            (field::CRC, 5, _) => {
                crc = Some(u32::from_le_bytes(value[..].try_into().expect("4 bytes")))
            }
            (_, 2, Some(signal)) => request = Some((signal, value)),
            _ => {}
        }
    }
    let text = range.ok_or("no item range")?;
    let (signal, request) = request.ok_or("no request")?;
    let range = ItemRange::parse(signal, &text)?;
    let found = checksum(&text, born[0], born[1], &request);
    match crc {
        Some(expected) if expected == found => {}
        Some(expected) => {
            return Err(format!(
                "{range}: it has checksum {found:08x}, expected {expected:08x}; copy the file again"
            ));
        }
        None => return Err(format!("{range}: no checksum")),
    }
    Ok(Message {
        range,
        born_min: born[0],
        born_max: born[1],
        request,
    })
}

fn take_varint(data: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *data.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
