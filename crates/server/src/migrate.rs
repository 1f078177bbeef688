//! `silica migrate`: moves the state of an installation to another database, while no server runs.

mod arguments;
mod place;
mod progress;
mod report;

use anyhow::Context as _;
use silica_platform::DatabaseUrl;
use silica_platform::transfer::{self, Outcome, TransferError};
use silica_types::Secret;

pub(crate) use self::arguments::MigrateArguments;
use self::place::Place;
use self::progress::Told;
use crate::config::{self, Environment, Overrides};
use crate::terminal;

/// Moves everything, or says why nothing was moved.
///
/// # Errors
/// When a server runs, settled calls wait in the journal, the target holds something else, or a
/// database fails. The target is as it was then.
pub(crate) fn run(arguments: &MigrateArguments, environment: &Environment) -> anyhow::Result<()> {
    let overrides = Overrides {
        listen: None,
        data: arguments.data.clone(),
    };
    let config = config::load(arguments.config.as_deref(), environment, overrides)?;
    // Exposed to be read; errors do not repeat it.
    let read = |url: &Secret| url.expose().parse::<DatabaseUrl>();
    let to = read(&arguments.to).context("--to")?;
    let from = arguments.from.as_ref().map(read).transpose().context("--from")?;
    let place = Place::find(&config, from, arguments.data.is_some());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(migrate(&place, &to, environment))
}

async fn migrate(place: &Place, to: &DatabaseUrl, environment: &Environment) -> anyhow::Result<()> {
    let from = &place.source;
    // Held to the end: a server that starts meanwhile would book what is not moved.
    let _claim = place.claim()?;
    place.check_journal().await?;
    let mut told = Told::new();
    let moved = Box::pin(transfer::run(from, to, &mut |progress| told.tell(progress))).await;
    told.end();
    match moved {
        Ok(moved) => {
            terminal::say(&report::comparison(&moved.comparison));
            let said = match moved.outcome {
                Outcome::Copied => format!("{from} is moved to {to}: every row is there and was compared."),
                Outcome::WasThere => format!("Nothing to do: {to} holds every row of {from}, and no other."),
            };
            terminal::say(&said);
            terminal::say(&report::what_next(place, environment.master_key().is_some()));
            Ok(())
        }
        Err(error) => {
            if let TransferError::OtherData { comparison } | TransferError::CopyDiffers { comparison } =
                &error
            {
                terminal::say(&report::comparison(comparison));
            }
            Err(error).with_context(|| format!("cannot move {from} to {to}"))
        }
    }
}
