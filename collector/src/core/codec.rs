//! Compression of bodies: one zstd frame or one gzip member per body, always.
//!
//! Several members or frames would be cut to the first by many receivers (spec/collector.md, section 3); ours reads them all.
//! The zstd window stays within the 8 MiB that RFC 9659 allows on the wire. Next: `spool`, which stores what is compressed.
//!
//! zstd contexts are kept from body to body: to make and clear one costs a third of compressing a small batch. All threads
//! share them: one each would be megabytes for every helper thread that compressed once.

use std::{
    io::{self, Read, Write},
    sync::Mutex,
};

use bytes::Bytes;
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

use crate::config::Codec;

/// A content coding, without level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CodecId {
    /// As it is.
    None = 0,
    /// gzip.
    Gzip = 1,
    /// zstd.
    Zstd = 2,
}

impl CodecId {
    /// The coding with that number on disk.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd]
            .get(usize::from(byte))
            .copied()
    }

    /// The value of `content-encoding`; `None` where the header is left out.
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// The coding that a `content-encoding` names; `None` if it is not known here.
    pub fn from_content_encoding(value: &str) -> Option<Self> {
        let value = value.trim();
        [Self::Gzip, Self::Zstd]
            .into_iter()
            .find(|codec| {
                codec
                    .content_encoding()
                    .is_some_and(|name| name.eq_ignore_ascii_case(value))
            })
            .or((value.is_empty() || value.eq_ignore_ascii_case("identity")).then_some(Self::None))
    }

    /// What to try next when a receiver refuses this one: zstd, gzip, none.
    pub fn fallback(self) -> Option<Self> {
        match self {
            Self::Zstd => Some(Self::Gzip),
            Self::Gzip => Some(Self::None),
            Self::None => None,
        }
    }

    /// This coding with a level: `configured`'s own if it is the same coding, the usual one otherwise.
    pub fn with_level(self, configured: Codec) -> Codec {
        match self {
            _ if CodecId::from(configured) == self => configured,
            Self::None => Codec::None,
            Self::Gzip => Codec::Gzip(6),
            Self::Zstd => Codec::Zstd(3),
        }
    }
}

impl From<Codec> for CodecId {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip(_) => Self::Gzip,
            Codec::Zstd(_) => Self::Zstd,
        }
    }
}

/// What holds more than this is given back: level 19 takes 80 MB for a large body, and small bodies may follow.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Encoders or decoders that nobody uses.
struct Idle<C>(Mutex<Vec<C>>);

static ENCODERS: Idle<Encoder> = Idle::new();
static DECODERS: Idle<DCtx<'static>> = Idle::new();

impl<C> Idle<C> {
    /// One for what is stored, one for what is sent.
    const COUNT_MAX: usize = 2;

    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn take(&self, create: impl FnOnce() -> C) -> C {
        self.list().pop().unwrap_or_else(create)
    }

    fn put(&self, idle: C, bytes: usize) {
        let mut list = self.list();
        if bytes <= KEPT_BYTES_MAX && list.len() < Self::COUNT_MAX {
            list.push(idle);
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<C>> {
        self.0
            .lock()
            .expect("nothing panics while it holds the list")
    }
}

/// Compresses the concatenation of `pieces`.
pub fn compress(codec: Codec, pieces: &[Bytes]) -> Bytes {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let raw_bytes: usize = pieces.iter().map(Bytes::len).sum();
    match codec {
        Codec::None if pieces.len() == 1 => pieces[0].clone(),
        Codec::None => pieces.concat().into(),
        Codec::Gzip(level) => {
            let level = flate2::Compression::new(level.min(9));
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::with_capacity(raw_bytes / 4), level);
            for piece in pieces {
                encoder.write_all(piece).expect(IN_MEMORY);
            }
            encoder.finish().expect(IN_MEMORY).into()
        }
        Codec::Zstd(level) => {
            let mut encoder = ENCODERS.take(Encoder::new);
            let body = encoder.encode(level, pieces);
            let bytes = encoder.bytes();
            ENCODERS.put(encoder, bytes);
            body
        }
    }
}

/// A zstd context and the memory that it works in.
struct Encoder {
    context: CCtx<'static>,
    raw: Vec<u8>,
    out: Vec<u8>,
}

impl Encoder {
    fn new() -> Self {
        Self {
            context: CCtx::create(),
            raw: Vec::new(),
            out: Vec::new(),
        }
    }

    fn encode(&mut self, level: i32, pieces: &[Bytes]) -> Bytes {
        // In one piece: a stream is copied too, and where it is longer than the window, by a slower search in two places.
        let raw = match pieces {
            [piece] => piece,
            _ => {
                self.raw.clear();
                pieces
                    .iter()
                    .for_each(|piece| self.raw.extend_from_slice(piece));
                &self.raw[..]
            }
        };
        self.context
            .set_parameter(CParameter::CompressionLevel(level))
            .expect("a level is clamped by zstd");
        self.out.clear();
        self.out.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.context
            .compress2(&mut self.out, raw)
            .expect("what has the room of the bound fits");
        Bytes::copy_from_slice(&self.out)
    }

    /// Memory that is held.
    fn bytes(&self) -> usize {
        self.context.sizeof() + self.raw.capacity() + self.out.capacity()
    }
}

/// Why a body could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// It has more than the allowed bytes.
    #[error("decompressed body exceeds {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It is damaged.
    #[error("decompress: {0}")]
    Malformed(io::Error),
}

/// Decompresses a body of any number of members or frames, to at most `limit` bytes.
///
/// # Errors
/// See [`DecompressError`]. Memory stays within `limit` and the decoder's window, whatever the input claims.
pub fn decompress(codec: CodecId, body: &[u8], limit: u64) -> Result<Bytes, DecompressError> {
    let mut out = Vec::with_capacity((body.len() * 4).min(limit as usize));
    let read = match codec {
        CodecId::None => {
            if body.len() as u64 <= limit {
                return Ok(Bytes::copy_from_slice(body));
            }
            return Err(DecompressError::TooLarge { limit });
        }
        CodecId::Gzip => flate2::bufread::MultiGzDecoder::new(body)
            .take(limit + 1)
            .read_to_end(&mut out),
        CodecId::Zstd => {
            let mut context = DECODERS.take(DCtx::create);
            let mut decoder = zstd::stream::read::Decoder::with_context(body, &mut context);
            let read = decoder
                .window_log_max(23)
                .and_then(|()| decoder.take(limit + 1).read_to_end(&mut out));
            let bytes = context.sizeof();
            DECODERS.put(context, bytes);
            read
        }
    };
    match read {
        Ok(_) if out.len() as u64 > limit => Err(DecompressError::TooLarge { limit }),
        Ok(_) => Ok(out.into()),
        Err(error) => Err(DecompressError::Malformed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Codec; 3] = [Codec::None, Codec::Gzip(6), Codec::Zstd(3)];

    #[test]
    fn pieces_come_back_as_one_body() {
        let pieces = [Bytes::from(vec![b'a'; 5000]), Bytes::from_static(b"bcd")];
        for codec in CODECS {
            let body = compress(codec, &pieces);
            let back = decompress(codec.into(), &body, 5003).unwrap();
            assert!(back == pieces.concat(), "{codec:?}");
            let error = decompress(codec.into(), &body, 5002).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { limit: 5002 }));
        }
    }

    #[test]
    fn many_members_and_frames_are_read() {
        for codec in CODECS {
            let body = [
                compress(codec, &[Bytes::from_static(b"one ")]),
                compress(codec, &[Bytes::from_static(b"two")]),
            ]
            .concat();
            let back = decompress(codec.into(), &body, 100).unwrap();
            assert_eq!(&back[..], b"one two", "{codec:?}");
        }
    }

    /// A kept context knows nothing of the body before: neither its level nor where it broke off.
    #[test]
    fn bodies_do_not_depend_on_the_one_before() {
        let piece = [Bytes::from("kiosk-3 placed an order\n".repeat(400))];
        let alone = |level| {
            std::thread::scope(|scope| {
                let fresh = scope.spawn(|| compress(Codec::Zstd(level), &piece));
                fresh.join().unwrap()
            })
        };
        for level in [3, 19, 1, 3] {
            let body = compress(Codec::Zstd(level), &piece);
            assert!(body == alone(level), "level {level}");
            assert!(decompress(CodecId::Zstd, &body[..body.len() / 2], 10_000).is_err());
            assert!(decompress(CodecId::Zstd, &body, 100).is_err());
            assert!(decompress(CodecId::Zstd, &body, 10_000).unwrap() == piece[0]);
        }
    }

    #[test]
    fn damage_is_told() {
        for codec in [CodecId::Gzip, CodecId::Zstd] {
            let error = decompress(codec, b"not compressed", 100).unwrap_err();
            assert!(matches!(error, DecompressError::Malformed(_)), "{error}");
        }
        let body = compress(Codec::Gzip(6), &[Bytes::from_static(b"cut off")]);
        assert!(decompress(CodecId::Gzip, &body[..body.len() - 3], 100).is_err());
    }

    #[test]
    fn names_are_those_of_http() {
        let parse = CodecId::from_content_encoding;
        assert_eq!(parse("GZIP"), Some(CodecId::Gzip));
        assert_eq!(parse("identity"), Some(CodecId::None));
        assert_eq!(parse("br"), None);
        assert_eq!(CodecId::Zstd.fallback(), Some(CodecId::Gzip));
    }
}
