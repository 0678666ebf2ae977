//! Bearer tokens: a file with one a line, of which a sender must know one.
//!
//! Several tokens make a change without a gap: add the new one, change the senders, remove the old one. The file is read
//! again every few seconds while requests come, and while it cannot be read the tokens read last stay: a half-written file
//! must not lock a store out. Comparison takes the same time wherever a wrong token differs.

use std::{io, path::PathBuf, time::Duration};

use hyper::header::{AUTHORIZATION, HeaderMap};
use subtle::{Choice, ConstantTimeEq};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    env::{Disk, Env},
    shell::shared::Shared,
};

/// How long a token that was removed from the file is still taken.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// A larger file is a mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Tokens, as new as their file.
pub(in crate::shell) struct Tokens {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    tokens: Vec<String>,
    since: Instant,
    /// Whether the last reading failed, and was told.
    is_stale: bool,
}

/// The tokens themselves are shown to nobody.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.path.display())
    }
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, or has no token.
    pub(in crate::shell) async fn open<E: Env>(env: &E, path: PathBuf) -> io::Result<Self> {
        let known = Mutex::new(Known {
            tokens: read(env, &path).await?,
            since: Instant::now(),
            is_stale: false,
        });
        Ok(Self { path, known })
    }

    /// Whether a request carries one of them.
    pub(super) async fn admit<E: Env>(&self, shared: &Shared<E>, headers: &HeaderMap) -> bool {
        let Some(given) = bearer(headers) else {
            return false;
        };
        let mut known = self.known.lock().await;
        if known.since.elapsed() >= READ_AGAIN {
            known.since = Instant::now();
            match read(&shared.env, &self.path).await {
                Ok(tokens) => {
                    known.tokens = tokens;
                    known.is_stale = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut known.is_stale, true) {
                        let path = self.path.display();
                        let notice = format!("read tokens {path}: {error}; the old ones stay");
                        shared.observer.notice(&notice);
                    }
                }
            }
        }
        let one_of = |found: Choice, token: &String| found | token.as_bytes().ct_eq(given);
        known.tokens.iter().fold(Choice::from(0), one_of).into()
    }
}

/// The token of an `Authorization` header; `None` if there is none.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then_some(token.trim_ascii())
}

async fn read<E: Env>(env: &E, path: &std::path::Path) -> io::Result<Vec<String>> {
    let data = env.disk().read(path, FILE_BYTES_MAX).await?;
    parse(&String::from_utf8_lossy(&data))
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
}

/// One token a line; blank lines and those that begin with `#` say nothing.
pub(crate) fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // RFC 6750 allows fewer; what matters is that a header can carry it.
        if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "line {}: a token is printable ASCII without spaces",
                index + 1
            ));
        }
        tokens.push(line.to_owned());
    }
    if tokens.is_empty() {
        return Err("no token in it: write one a line".to_owned());
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_one_token_a_line() {
        let check = |text: &str, expect: Result<&[&str], &str>| match (parse(text), expect) {
            (Ok(tokens), Ok(expect)) => assert_eq!(tokens, expect, "{text:?}"),
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{error}"),
            (result, _) => panic!("{text:?}: {result:?}"),
        };
        check("# till 1\nabc\n\n  def==  \n", Ok(&["abc", "def=="]));
        check("abc", Ok(&["abc"]));
        check("", Err("no token"));
        check("# none\n", Err("no token"));
        check("abc\na b\n", Err("line 2"));
        check("gr\u{f6}\u{df}e", Err("line 1"));
    }

    #[test]
    fn headers_are_read() {
        let check = |value: &'static str, expect: Option<&[u8]>| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&headers), expect, "{value}");
        };
        check("Bearer abc", Some(b"abc"));
        check("bearer  abc", Some(b"abc"));
        check("Basic abc", None);
        check("Bear", None);
        check("", None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
