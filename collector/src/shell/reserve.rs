//! The reserve's file: room in the file system that nobody else can have, for what empties a full buffer.
//!
//! How large it is and when it gives way is decided in `core::spool::room`; here it is made and cut. What is in it is never
//! read, and it may be missing, so a loss of power or damage costs nothing. Next: `store`, which takes its room.

use std::{io, time::Duration};

use super::{shared::Shared, store::is_no_space};
use crate::{
    core::Mono,
    env::{Disk, Env, File, Open},
};

/// Its name in the buffer's directory.
pub const RESERVE_FILE: &str = "reserve";

/// Pause after it could not be made: until then there is no room, or no use in trying.
const PAUSE: Duration = Duration::from_secs(10);

/// When it may be tried again to make the file, after a failure.
pub(super) type NextTry = Option<Mono>;

impl<E: Env> Shared<E> {
    /// Makes the file as large as it should be, where there is room. Call it when nothing else wants to be written: what it takes,
    /// a note cannot have.
    pub(super) async fn keep_reserve(&self) {
        let wanted = || self.lock().spool.reserve_wanted();
        if wanted().is_none() {
            return;
        }
        let mut next_try = self.reserve.lock().await;
        if next_try.is_some_and(|at| self.now() < at) {
            return;
        }
        // On a disk that is smaller than the quota it is smaller, too, and the first try tells that.
        let mut tries = 2;
        while let Some(bytes) = wanted() {
            let Err(error) = self.make_reserve(bytes).await else {
                *next_try = None;
                self.lock().spool.hold_reserve(bytes);
                return;
            };
            if self.cut_reserve().await.is_ok() {
                self.lock().spool.hold_reserve(0);
            }
            tries -= 1;
            if is_no_space(&error) {
                self.look_at_disk().await;
                if tries > 0 {
                    continue;
                }
            }
            if next_try.replace(self.now().after(PAUSE)).is_none() {
                let path = self.dir.join(RESERVE_FILE);
                let notice = format!(
                    "take a reserve of {bytes} bytes in {}: {error}; a full disk may refuse notes of what was delivered",
                    path.display()
                );
                self.observer.notice(&notice);
            }
            return;
        }
    }

    async fn make_reserve(&self, bytes: u64) -> io::Result<()> {
        let path = self.dir.join(RESERVE_FILE);
        let file = self.env.disk().open(&path, Open::Create).await?;
        // It may have been longer.
        file.set_len(bytes).await?;
        file.allocate(bytes).await?;
        file.sync().await
    }

    async fn cut_reserve(&self) -> io::Result<()> {
        let path = self.dir.join(RESERVE_FILE);
        match self.env.disk().open(&path, Open::ReadWrite).await {
            Ok(file) => file.set_len(0).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives its room to what needs it; returns how much that is.
    pub(super) async fn give_up_reserve(&self) -> u64 {
        let _one_at_a_time = self.reserve.lock().await;
        let held = self.lock().spool.reserve_held();
        if held == 0 || self.cut_reserve().await.is_err() {
            return 0;
        }
        self.lock().spool.hold_reserve(0);
        held
    }
}
