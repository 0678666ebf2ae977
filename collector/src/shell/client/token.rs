//! The bearer token that a destination wants: the first line of a file that says something, read again every few seconds while
//! requests go out, and at once after a refusal. While the file cannot be read the token read last stays.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use hyper::header::HeaderValue;
use tokio::time::Instant;

use crate::{
    env::{Disk, Env},
    shell::parse_tokens,
};

/// How long a token that was replaced is still sent.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// A larger file is a mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A token, as new as its file.
pub(super) struct Token {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    header: Option<HeaderValue>,
    /// When it was read; `None` asks to read it again.
    since: Option<Instant>,
}

/// The token itself is shown to nobody.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({})", self.path.display())
    }
}

impl Token {
    pub(super) fn new(path: PathBuf) -> Self {
        let known = Mutex::default();
        Self { path, known }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics while it holds it")
    }

    /// The header with the token that was read last; `None` before the first reading.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.known().header.clone()
    }

    /// It was refused: it is read again before the next request.
    pub(super) fn refused(&self) {
        self.known().since = None;
    }

    /// Reads it if it is time to.
    ///
    /// # Errors
    /// If there is none to send.
    pub(super) async fn refresh<E: Env>(&self, env: &E) -> Result<(), String> {
        let now = Instant::now();
        let is_new = |since: Instant| now.duration_since(since) < READ_AGAIN;
        if self.known().since.is_some_and(is_new) {
            return Ok(());
        }
        let read = self.read(env).await;
        let mut known = self.known();
        match read {
            Ok(header) => known.header = Some(header),
            Err(reason) if known.header.is_none() => {
                let path = self.path.display();
                return Err(format!("read bearer_token_file {path}: {reason}"));
            }
            Err(_) => {}
        }
        known.since = Some(now);
        Ok(())
    }

    async fn read<E: Env>(&self, env: &E) -> Result<HeaderValue, String> {
        let data = env.disk().read(&self.path, FILE_BYTES_MAX).await;
        let data = data.map_err(|error| error.to_string())?;
        let tokens = parse_tokens(&String::from_utf8_lossy(&data))?;
        let header = HeaderValue::try_from(format!("Bearer {}", tokens[0]));
        let mut header = header.map_err(|error| error.to_string())?;
        // HPACK must not put it into a table.
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::OsEnv;

    /// It is read again after a while and after a refusal, and a file that cannot be used changes nothing.
    #[tokio::test(start_paused = true)]
    async fn a_token_is_as_new_as_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let (env, token) = (OsEnv::with_root([1; 32]), Token::new(path.clone()));
        let error = token.refresh(&env).await.unwrap_err();
        assert!(error.contains("read bearer_token_file"), "{error}");
        assert_eq!(token.header(), None);
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let check = async |expect: &str| {
            token.refresh(&env).await.unwrap();
            assert_eq!(token.header().unwrap(), expect);
        };
        write("# for hq\nfirst\n");
        check("Bearer first").await;
        write("second");
        check("Bearer first").await;
        token.refused();
        check("Bearer second").await;
        write("third");
        tokio::time::advance(READ_AGAIN).await;
        check("Bearer third").await;
        write("two words");
        token.refused();
        check("Bearer third").await;
        assert!(!format!("{token:?}").contains("third"));
    }
}
