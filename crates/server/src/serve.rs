//! `silica serve`.

use crate::cli::ServeArguments;
use crate::config::{self, Environment};
use crate::logging;

pub(crate) fn run(arguments: &ServeArguments, environment: &Environment) -> anyhow::Result<()> {
    let config = config::load(arguments.config.as_deref(), environment, arguments.overrides())?;
    logging::start(&config.log)
}
