//! Counts a machine's boots, so that numbers it gives out are never given out again.
//!
//! One small file, replaced by rename: it holds the old count or the new one, whatever happens.

use std::{io, path::Path};

use backroom_collector::env::{Disk, Env, File as _, Open};
use bytes::Bytes;

use super::{Context, DATA_DIR};

/// How many boots are told apart; the count then starts over at 1.
const BOOTS_MAX: u16 = u16::MAX;

/// Counts this boot: 1 for the first. Durable on return.
///
/// # Errors
/// When the disk fails.
pub(crate) async fn next<E: Env>(ctx: &Context<E>) -> io::Result<u16> {
    next_in(ctx.env.disk(), Path::new(DATA_DIR), || {
        ctx.env.unix_time().as_secs()
    })
    .await
}

async fn next_in<D: Disk>(
    disk: &D,
    dir: &Path,
    unix_seconds: impl FnOnce() -> u64,
) -> io::Result<u16> {
    disk.create_dir_all(dir).await?;
    let path = dir.join("boot");
    let boot = match disk.read(&path, 64).await {
        Ok(bytes) => match decode(&bytes) {
            Some(last) if last < BOOTS_MAX => last + 1,
            Some(_) => 1,
            // A damaged count must not stop the shop: a number from the clock is new with near certainty.
            None => 0x8000 | (unix_seconds() & 0x7fff) as u16,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
        Err(error) => return Err(error),
    };

    let new = dir.join("boot.new");
    let file = disk.open(&new, Open::Create).await?;
    file.set_len(0).await?;
    file.write_at(0, encode(boot)).await?;
    file.sync().await?;
    disk.rename(&new, &path).await?;
    // Without it the rename is undone by a power cut, and this boot's numbers would be given out twice.
    disk.sync_dir(dir).await?;
    Ok(boot)
}

fn encode(boot: u16) -> Bytes {
    let mut bytes = boot.to_le_bytes().to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&boot.to_le_bytes()).to_le_bytes());
    bytes.into()
}

fn decode(bytes: &[u8]) -> Option<u16> {
    let (boot, crc) = bytes.split_first_chunk::<2>()?;
    let crc: [u8; 4] = crc.try_into().ok()?;
    (u32::from_le_bytes(crc) == crc32c::crc32c(boot)).then_some(u16::from_le_bytes(*boot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_was_damaged_is_noticed() {
        let whole = encode(7);
        assert_eq!(decode(&whole), Some(7));
        for at in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), None, "byte {at}");
            assert_eq!(decode(&whole[..at]), None, "{at} bytes");
        }
    }
}
