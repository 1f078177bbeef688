//! The command line of `silica models`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use silica_model_store::{HubAddress, Manifest, ModelId};
use silica_platform::SubType;

/// Arguments of `silica models`.
#[derive(Debug, Args)]
pub(crate) struct ModelsArguments {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Fetch or copy a model into the store, checked before it is there.
    ///
    /// Files of a hub come several at once and go on where they were cut: run the same command again.
    /// Every size and checksum is compared, and the configuration, the tokenizer, the chat template
    /// and the headers of the weights are checked as the engine checks them. What is refused is not
    /// in the store. Pickled weights are never fetched.
    ///
    /// Private and gated repositories need a token: `HF_TOKEN` or `MODELSCOPE_API_TOKEN` in the
    /// environment, or `models.hub_token_file`. It is sent to the hub itself only.
    Add(AddArguments),
    /// List the models of the store.
    List(ListArguments),
    /// Show what a model is, where it came from, and its files.
    Show(ShowArguments),
    /// Serve a model of the store, or an adapter on top of it, with one embedded engine.
    ///
    /// Works beside a running server, which follows within a second, and without one. A catalogue entry
    /// that is there already stays as it is.
    Deploy(DeployArguments),
    /// Take a model out of the store, and what an unfinished `add` of it has left.
    Remove(RemoveArguments),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What a model is served for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelUse {
    /// Answers messages.
    Chat,
    /// Turns texts into vectors.
    Embedding,
    /// Orders documents by a query.
    Reranker,
}

impl ModelUse {
    /// What a model's files say, unless a person has said something else.
    pub(super) fn of(manifest: &Manifest, said: Option<Self>) -> SubType {
        let found = || Self::from_str(&manifest.facts.sub_type, false).unwrap_or(Self::Chat);
        match said.unwrap_or_else(found) {
            Self::Chat => SubType::Chat,
            Self::Embedding => SubType::Embedding,
            Self::Reranker => SubType::Reranker,
        }
    }
}

/// Arguments of `silica models add`.
#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    /// A repository of the hub (Qwen/Qwen2.5-0.5B-Instruct), a model folder, or a .gguf file.
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// The model's name in the store; the repository's name, or local/NAME, unless given.
    #[arg(long, value_name = "ID")]
    pub(super) name: Option<ModelId>,
    /// A branch, tag or commit of the repository.
    #[arg(long, value_name = "REV")]
    pub(super) revision: Option<String>,
    /// The GGUF file to take, where there are several or safetensors beside it.
    #[arg(long, value_name = "NAME.gguf")]
    pub(super) file: Option<String>,
    /// The hub: huggingface, modelscope, the address of a mirror of the first, or of the second with
    /// modelscope+ before it.
    #[arg(long, value_name = "HUB")]
    pub(super) hub: Option<HubAddress>,
    /// Serve the model too, as `silica models deploy` does.
    #[arg(long)]
    pub(super) deploy: bool,
    /// What the model is served for, where its files do not tell: Qwen3-Reranker has those of a chat model.
    #[arg(long, value_name = "USE")]
    pub(super) sub_type: Option<ModelUse>,
    /// Say nothing on the way.
    #[arg(long)]
    pub(super) quiet: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Arguments of `silica models list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Arguments of `silica models show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The model's name in the store.
    #[arg(value_name = "ID")]
    pub(super) id: ModelId,
    /// Read every file again and compare it with its checksum.
    #[arg(long)]
    pub(super) verify: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Arguments of `silica models deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArguments {
    /// The model's name in the store.
    #[arg(value_name = "ID")]
    pub(super) id: ModelId,
    /// A folder as PEFT writes it, whose low-rank adapter is added to the model. The model's weights are in
    /// memory once for all of its adapters.
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    /// The name that it is served under; the model's own unless given, and with an adapter the model's, a
    /// colon, and the name of the adapter's folder.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// What the model is served for, where its files do not tell: Qwen3-Reranker has those of a chat model.
    #[arg(long, value_name = "USE")]
    pub(super) sub_type: Option<ModelUse>,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Arguments of `silica models remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// The model's name in the store.
    #[arg(value_name = "ID")]
    pub(super) id: ModelId,
    /// Also when a deployment serves it, or the database cannot be asked.
    #[arg(long)]
    pub(super) force: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) place: Place,
}
