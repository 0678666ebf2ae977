//! Verbs that change a buffer ask the collector that holds it, or hold it themselves.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
};

use super::Here;
use crate::{
    archive,
    cli::{exit, fail},
    core::{frame::Place, selection::Selection},
    env::OsEnv,
    shell::{
        self, Quiet,
        control::Control,
        handling::{Handled, Hold, Imported},
        keeper::Keeper,
        release::{Fate, Released},
    },
};

/// Whoever holds the buffer.
pub(super) enum Holder {
    /// A collector that runs.
    Live(Box<Control<OsEnv>>),
    /// This process.
    Dead(Box<Keeper<OsEnv>>, Option<Hold<OsEnv>>),
}

impl Holder {
    /// Finds out who; says what is wrong, and gives the exit code.
    pub(super) async fn open(here: &Here) -> Result<Self, u8> {
        let dir = &here.config.buffer.dir;
        let wrong = |error: &dyn std::fmt::Display| {
            let hint = "run it as the collector's user";
            fail(
                format_args!("ask the collector of {}: {error}; {hint}", dir.display()),
                exit::UNAVAILABLE,
            )
        };
        if !dir.is_dir() {
            let hint = "name it with --buffer-dir or --config";
            return Err(fail(
                format_args!("no buffer in {}; {hint}", dir.display()),
                exit::NO_INPUT,
            ));
        }
        if let Some(control) = Control::open(&here.env, dir)
            .await
            .map_err(|error| wrong(&error))?
        {
            return Ok(Self::Live(Box::new(control)));
        }
        let mut config = here.config.clone();
        // Without a destination nothing is sent, and nothing is finished because all have it.
        config.endpoint = None;
        config.destinations.clear();
        match Keeper::open(here.env.clone(), config, Arc::new(Quiet)).await {
            Ok(keeper) => Ok(Self::Dead(Box::new(keeper), None)),
            Err(error @ shell::Error::InUse { .. }) => Err(wrong(&error)),
            Err(error) => Err(fail(error, exit::CANNOT_WRITE)),
        }
    }

    pub(super) async fn purge(
        &mut self,
        selection: &Selection,
        is_trial: bool,
    ) -> io::Result<Handled> {
        match self {
            Self::Live(control) => control.purge(selection, is_trial).await,
            Self::Dead(keeper, _) => keeper.purge(selection, is_trial).await,
        }
    }

    pub(super) async fn release(
        &mut self,
        selection: &Selection,
        fate: Fate,
        is_trial: bool,
    ) -> io::Result<Released> {
        match self {
            Self::Live(control) => control.release(selection, fate, is_trial).await,
            Self::Dead(keeper, _) => keeper.release(selection, fate, is_trial).await,
        }
    }

    pub(super) async fn take(
        &mut self,
        selection: &Selection,
    ) -> io::Result<(Vec<Place>, Handled)> {
        match self {
            Self::Live(control) => control.take(selection).await,
            Self::Dead(keeper, held) => {
                let (hold, handled) = keeper.take(selection).await?;
                let places = hold.places().collect();
                *held = Some(hold);
                Ok((places, handled))
            }
        }
    }

    pub(super) async fn exported(&mut self, except: &[Place]) -> io::Result<()> {
        match self {
            Self::Live(control) => control.exported(except).await,
            Self::Dead(_, held) => match held.take() {
                Some(hold) => hold.exported(except).await,
                None => Ok(()),
            },
        }
    }

    pub(super) async fn import(&mut self, batch: &archive::Batch) -> io::Result<Imported> {
        match self {
            Self::Live(control) => control.import(batch).await,
            Self::Dead(keeper, _) => keeper.import(batch).await,
        }
    }

    /// Lets go of it; what was imported is remembered.
    pub(super) async fn close(self) -> io::Result<()> {
        match self {
            Self::Live(mut control) => control.imported().await,
            Self::Dead(keeper, held) => {
                drop(held);
                keeper.close().await
            }
        }
    }
}

/// Whether a verb asks before it does something, and whether it does it at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) asks: bool,
    pub(super) dry_run: bool,
}

/// Does something to the buffer. Who is asked sees first what it would be, and so does who only wants to know; where that is
/// nothing, nobody is asked. Says what went wrong, and gives the exit code.
///
/// - `act` does it, or with `true` only says what it would be;
/// - `question` asks whether to go on, or is `None` if it would be nothing.
pub(super) async fn carry_out<T>(
    here: &Here,
    verb: &str,
    Manner { asks, dry_run }: Manner,
    act: impl AsyncFn(&mut Holder, bool) -> io::Result<T>,
    question: impl Fn(&T) -> Option<String>,
) -> Result<T, u8> {
    if let Some(code) = cannot_ask(asks) {
        return Err(code);
    }
    let mut holder = Holder::open(here).await?;
    let result = async {
        if asks || dry_run {
            let trial = act(&mut holder, true).await?;
            let Some(question) = question(&trial).filter(|_| !dry_run) else {
                return Ok(Some(trial));
            };
            if !confirm(&question)? {
                return Ok(None);
            }
        }
        act(&mut holder, false).await.map(Some)
    }
    .await;
    let closed = holder.close().await;
    match result.and_then(|done| closed.map(|()| done)) {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(fail("nothing was deleted", exit::INTERRUPTED)),
        Err(error) => Err(fail(format_args!("{verb}: {error}"), exit::CANNOT_WRITE)),
    }
}

/// Whether somebody has to be asked who is not there: then `--yes` or `--dry-run` is missing. Says so.
fn cannot_ask(asks: bool) -> Option<u8> {
    let is_alone = asks && !std::io::stdin().is_terminal();
    is_alone.then(|| {
        fail(
            "nobody can be asked here: add --yes, or --dry-run to see what it would be",
            exit::USAGE,
        )
    })
}

/// Asks whoever sits there.
fn confirm(question: &str) -> io::Result<bool> {
    anstream::eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
