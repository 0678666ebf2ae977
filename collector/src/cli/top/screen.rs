//! The terminal while `top` has it: another screen, no echo, keys as they are pressed. All of it is given back when it is dropped.

use std::io::{self, Read as _, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::env::{Env as _, OsEnv};

/// A terminal that is ours.
pub(super) struct Screen {
    before: Termios,
}

/// Another screen without a cursor, and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

impl Screen {
    /// Takes the terminal of standard input and output.
    pub(super) fn open() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut ours = before.clone();
        // Signals stay on: Ctrl-C is one.
        ours.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        // A read gives what is there after a fifth of a second at most.
        ours.special_codes[SpecialCodeIndex::VMIN] = 0;
        ours.special_codes[SpecialCodeIndex::VTIME] = 2;
        tcsetattr(io::stdin(), OptionalActions::Now, &ours)?;
        let screen = Self { before };
        write(ENTER);
        Ok(screen)
    }

    /// Shows a text from the top; what is too long is cut by the terminal.
    pub(super) fn draw(&self, text: &str) {
        let mut out = String::from("\x1b[H");
        for line in text.lines() {
            out += line;
            out += "\x1b[K\r\n";
        }
        out += "\x1b[J";
        write(&out);
    }

    /// The next key; `None` if there was none within a fifth of a second.
    pub(super) async fn key(&self, env: &OsEnv) -> Option<u8> {
        env.compute(|| {
            let mut key = [0];
            let read = io::stdin().lock().read(&mut key).ok()?;
            (read > 0).then_some(key[0])
        })
        .await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write(LEAVE);
        // If it cannot be given back there is nobody to tell.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
