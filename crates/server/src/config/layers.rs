//! Lays file, environment and command line over the defaults.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::locate::{key_at, line_of, span_of};
use super::redact::without_value;
use super::source::PREFIX;
use super::{Config, ConfigError, Environment, InvalidValue};

/// What the command line sets; it wins over everything else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// `server.listen`.
    pub(crate) listen: Option<SocketAddr>,
    /// `data.dir`.
    pub(crate) data: Option<PathBuf>,
}

/// Reads and checks the configuration.
///
/// # Errors
/// See [`ConfigError`]; the first fault found is reported, in the order file, environment, whole.
pub(crate) fn load(
    file: Option<&Path>,
    environment: &Environment,
    overrides: Overrides,
) -> Result<Config, ConfigError> {
    let file = file.map(read).transpose()?;
    let mut merged = match &file {
        Some(file) => file.table()?,
        None => Table::new(),
    };
    for (variable, text) in environment.configuration() {
        overlay(&mut merged, variable_layer(variable, text)?);
    }
    // Every layer has been read on its own, so their sum is well formed.
    let malformed = |error: toml::de::Error| ConfigError::Value {
        key: "configuration",
        message: without_value(error.message()),
    };
    let mut config: Config = merged.try_into().map_err(malformed)?;
    config.server.listen = overrides.listen.unwrap_or(config.server.listen);
    config.data.dir = overrides.data.unwrap_or(config.data.dir);
    config
        .validate()
        .map_err(|invalid| place(invalid, file.as_ref(), environment))?;
    Ok(config)
}

/// A configuration file and its text.
struct File {
    path: PathBuf,
    text: String,
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    Ok(File {
        path: path.to_owned(),
        text,
    })
}

impl File {
    /// Returns the file's values, checked by type.
    fn table(&self) -> Result<Table, ConfigError> {
        toml::from_str::<Config>(&self.text).map_err(|error| self.fault(&error))?;
        toml::from_str(&self.text).map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        ConfigError::File {
            path: self.path.clone(),
            line: line_of(&self.text, span.start),
            key: key_at(&self.text, &span),
            message: without_value(error.message()),
        }
    }
}

/// Turns one variable into a table with one key, checked by type.
fn variable_layer(variable: &str, text: &str) -> Result<Table, ConfigError> {
    let fault = |message: String| ConfigError::Variable {
        variable: variable.to_owned(),
        message,
    };
    let path = variable
        .strip_prefix(PREFIX)
        .unwrap_or(variable)
        .to_ascii_lowercase();
    let Some((section, key)) = path.split_once("__") else {
        return Err(fault(format!("must have the form {PREFIX}SECTION__KEY")));
    };
    let layer = |value: Value| {
        Table::from_iter([(
            section.to_owned(),
            Value::Table(Table::from_iter([(key.to_owned(), value)])),
        )])
    };
    // Numbers, booleans and lists are read as TOML; anything else, and a text that merely looks
    // like a number, is taken as it stands.
    let as_text = layer(Value::String(text.to_owned()));
    let readings = match toml_value(text) {
        Some(value) => vec![layer(value), as_text],
        None => vec![as_text],
    };
    let mut first_fault = None;
    for reading in readings {
        match reading.clone().try_into::<Config>() {
            Ok(_) => return Ok(reading),
            Err(error) => first_fault = first_fault.or(Some(without_value(error.message()))),
        }
    }
    Err(fault(first_fault.unwrap_or_default()))
}

/// Reads `text` as a TOML value, if it is one.
fn toml_value(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}"))
        .ok()?
        .remove("value")
}

/// Puts the values of `layer` over those of `base`, section by section.
fn overlay(base: &mut Table, layer: Table) {
    for (section, values) in layer {
        match (base.get_mut(&section), values) {
            (Some(Value::Table(existing)), Value::Table(values)) => existing.extend(values),
            (_, values) => {
                base.insert(section, values);
            }
        }
    }
}

/// Names the place where an unusable value was set: the variable, else the line, else the flag.
fn place(invalid: InvalidValue, file: Option<&File>, environment: &Environment) -> ConfigError {
    let InvalidValue { key, message } = invalid;
    let variable = format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase());
    if environment
        .configuration()
        .any(|(name, _)| name.eq_ignore_ascii_case(&variable))
    {
        return ConfigError::Variable { variable, message };
    }
    let in_file = file.and_then(|file| Some((file, span_of(&file.text, key)?)));
    match in_file {
        Some((file, span)) => {
            let line = line_of(&file.text, span.start);
            ConfigError::File {
                path: file.path.clone(),
                line,
                key: key.to_owned(),
                message,
            }
        }
        None => ConfigError::Value { key, message },
    }
}
