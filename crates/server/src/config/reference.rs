//! The reference page of all configuration keys, made from the sections' own documentation.

use std::fmt::Write as _;

use schemars::{Schema, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::Config;
use super::source::{ADMIN_KEY, MASTER_KEY, NEW_MASTER_KEY, PREFIX};

const HEAD: &str = "\
<!-- Made by `silica config --reference`; do not edit by hand. -->
# Configuration reference

Silica starts without any configuration. To change something, write a TOML file and name it with `--config FILE`,
or set the key's environment variable; the command line's `--listen` and `--data` win over both. Unknown keys and
values of the wrong type are refused at start with their line or variable named. `silica config` prints what is in force.

Durations are written with a unit (`250ms`, `30s`, `5m`, `1h`), sizes too (`512B`, `64KiB`, `16MiB`, `1GiB`).
";

/// Writes the page `docs/config.md`.
pub(crate) fn reference() -> String {
    // Inlined, each key carries its own description and default.
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Config>();
    let mut page = HEAD.to_owned();
    for (section, schema) in properties(&schema) {
        write_section(&mut page, section, schema);
    }
    let _ = write!(
        page,
        "\n## Outside the file\n\n- `{ADMIN_KEY}`: the operator's bearer key for `/admin/v1`, at least 32 characters. \
         Unset, a key is made by the first start and kept in `admin.key` in the data folder, readable by its owner only.\n\
         - `{MASTER_KEY}`: the master key that seals upstream keys in the database, 32 bytes in base64 or hexadecimal. Several, parted by \
         commas: the first seals, all open. Unset, a key is made by the first start and kept in `master-key` in the data folder, readable by \
         its owner only. Servers on one database need the same.\n\
         - `{NEW_MASTER_KEY}`: the key that `silica secrets rotate` puts in its place; needed when `{MASTER_KEY}` is set.\n\
         - `HF_TOKEN`, `MODELSCOPE_API_TOKEN`: the tokens that `silica models add` shows to the hub that speaks as Hugging Face's or \
         ModelScope's.\n"
    );
    page
}

fn write_section(page: &mut String, section: &str, schema: &Value) {
    let description = one_line(text(schema, "description"));
    let _ = write!(
        page,
        "\n## `[{section}]`\n\n{description}\n\n| key | default | meaning |\n|---|---|---|\n"
    );
    let keys = schema.get("properties").and_then(Value::as_object);
    for (key, schema) in keys.into_iter().flatten() {
        let variable = format!("{PREFIX}{section}__{key}").to_ascii_uppercase();
        let default = match schema.get("default") {
            None | Some(Value::Null) => "unset".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        let description = one_line(text(schema, "description")).replace('|', "\\|");
        let _ = writeln!(page, "| `{key}`<br>`{variable}` | {default} | {description} |");
    }
}

fn properties(schema: &Schema) -> impl Iterator<Item = (&String, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn text<'a>(schema: &'a Value, field: &str) -> &'a str {
    schema.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Joins the lines of a documentation comment.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
