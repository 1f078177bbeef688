//! Structured logs on standard error. Never holds prompts, answers, keys, e-mail or IP addresses:
//! the events themselves must not carry them.

mod fields;
mod lines;

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};
use fields::PlainFields;
use lines::{Lines, WritingLines};

/// Starts writing log lines as configured, until what it returns is dropped.
///
/// # Errors
/// When the level is not understood, logging was started before, or no thread can be started.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<WritingLines> {
    // The migration library tells of every start, and that of Redis of what we tell ourselves; whoever wants that
    // names it in the level.
    let directives = format!("sea_orm_migration=warn,fred=error,{}", config.level);
    let filter = EnvFilter::builder().parse(directives).context("log.level")?;
    let (lines, writing) = Lines::start(io::stderr()).context("cannot start the thread that logs")?;
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_span_events(FmtSpan::NONE);
    let started = match config.format {
        LogFormat::Text if io::stderr().is_terminal() => lines.with_ansi(true).try_init(),
        LogFormat::Text => lines.with_ansi(false).fmt_fields(PlainFields).try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    started
        .map_err(|error| anyhow::anyhow!(error))
        .context("cannot start logging")?;
    Ok(writing)
}
