//! What a service manager is told (`sd_notify(3)`): a datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names.
//!
//! A path, or an abstract name behind `@`, which containers use. Nothing is said where the variable is not set, and a manager
//! that does not listen is no reason to stop working: errors are passed over. Next: `service`, which decides what to say.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// A service manager, or nobody.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life at least.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that has started this process.
    ///
    /// # Errors
    /// If there is one that cannot be reached; the message names the variable.
    pub(super) fn from_env() -> io::Result<Self> {
        let socket = match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => {
                let socket = connect(name.as_bytes()).map_err(|error| {
                    let name = name.display();
                    io::Error::new(error.kind(), format!("NOTIFY_SOCKET {name}: {error}"))
                })?;
                Some(socket)
            }
            _ => None,
        };
        let variable = |name: &str| env::var(name).ok();
        let watchdog = watchdog(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Ok(Self {
            watchdog: watchdog.filter(|_| socket.is_some()),
            socket,
        })
    }

    /// Nobody.
    pub(super) fn nobody() -> Self {
        Self {
            socket: None,
            watchdog: None,
        }
    }

    /// How often it wants a sign of life at least; `None` if it wants none.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Started, or reloaded.
    pub(super) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload begins. With the time, so that a manager does not take an older `READY=1` for its end.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    /// How it is going.
    pub(super) fn status(&self, status: &str) {
        self.say(&format!("STATUS={}", one_line(status)));
    }

    /// A sign of life.
    pub(super) fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // Not blocking: a manager that does not read must not stop the event loop.
            let _ = socket.send(message.as_bytes());
        }
    }
}

fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let address = match name.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        Some((b'/', _)) => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        _ => {
            let why = "neither a path from the root nor an abstract name";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// The interval in `WATCHDOG_USEC`, unless `WATCHDOG_PID` says that another process is meant.
fn watchdog(micros: Option<&str>, pid: Option<&str>, this: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(this)) {
        return None;
    }
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros))
}

/// Lines are what the protocol is made of.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_meant_for_this_process_or_for_nobody() {
        let check = |micros, pid, expect: Option<u64>| {
            assert_eq!(watchdog(micros, pid, 7), expect.map(Duration::from_micros));
        };
        check(Some("30000000"), None, Some(30_000_000));
        check(Some("30000000"), Some("7"), Some(30_000_000));
        check(Some("30000000"), Some("8"), None);
        check(Some("0"), None, None);
        check(Some("soon"), None, None);
        check(None, None, None);
    }

    #[test]
    fn both_kinds_of_names_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let on_disk = UnixDatagram::bind(&path).unwrap();
        let name = format!("backroom-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let hidden = UnixDatagram::bind_addr(&address).unwrap();
        let names = [
            path.as_os_str().as_bytes().to_vec(),
            format!("@{name}").into_bytes(),
        ];
        for (name, heard) in names.iter().zip([on_disk, hidden]) {
            let manager = Manager {
                socket: Some(connect(name).unwrap()),
                watchdog: None,
            };
            manager.status("a\nb");
            let mut buffer = [0; 64];
            let length = heard.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"STATUS=a b");
        }
        assert!(connect(b"relative").is_err());
        assert!(connect(b"").is_err());
        assert!(connect(b"/nonexistent/socket").is_err());
    }
}
