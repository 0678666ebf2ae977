//! The codec of the batch that is sealed next: the level of the line profile, or the one that `core::level` chooses. Next: `store`.

use std::time::Duration;

use super::shared::Shared;
use crate::{
    config::Codec,
    core::{
        Mono,
        level::{IDLE_ASSUMED, Price, choose},
    },
    env::{CpuTimes, Env},
};

/// Idle time is measured over this at least.
const MEASURED_OVER: Duration = Duration::from_secs(10);

/// What the processors of the machine have left.
#[derive(Debug)]
pub(super) struct Idle {
    since: Option<(Mono, CpuTimes)>,
    processors: f64,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            since: None,
            processors: IDLE_ASSUMED,
        }
    }
}

impl Idle {
    /// Processors that were idle lately.
    fn look<E: Env>(&mut self, env: &E, now: Mono) -> f64 {
        let is_due = |(at, _): &(Mono, CpuTimes)| now.since(*at) >= MEASURED_OVER;
        if self.since.as_ref().is_none_or(is_due)
            && let Some(times) = env.cpu_times()
        {
            let before = self.since.replace((now, times));
            let idle = before.and_then(|(_, before)| times.idle_processors_since(&before));
            self.processors = idle.unwrap_or(self.processors);
        }
        self.processors
    }
}

impl<E: Env> Shared<E> {
    /// How a batch is compressed that would be with `codec`.
    pub(super) fn codec_of_line(&self, codec: Codec, idle: &mut Idle) -> Codec {
        let config = self.config();
        let mut state = self.lock();
        let link = state.link(&config);
        let (level, is_metered) = (
            link.and_then(|link| link.level),
            link.is_some_and(|link| link.budget.is_some()),
        );
        match (codec, level) {
            (Codec::Zstd(_), Some(level)) => Codec::Zstd(level as i32),
            (Codec::Gzip(_), Some(level)) => Codec::Gzip(level.min(9)),
            (Codec::Zstd(_), None) if config.compress.is_auto => {
                let now = self.now();
                let price = Price {
                    is_metered,
                    bytes_per_second: state.pacer.rate(),
                };
                let raw = state.pressure.sealed.per_second(now);
                let level = choose(price, raw, idle.look(&self.env, now));
                state.counters.level = level.into();
                Codec::Zstd(level as i32)
            }
            _ => codec,
        }
    }
}
