//! Why a model folder was refused.

use std::path::PathBuf;

use crate::GgufError;

/// A model folder that cannot be served. Every variant about a file names it; the cause, where
/// there is one, is the source, so print the whole chain.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that must be there is not.
    #[error("{}: the file is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system did not let us read a file.
    #[error("{}: the file cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The system did not let us write a file.
    #[error("{}: the file cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file is malformed, or a field has the wrong type.
    #[error("{}: line {}, column {} is not valid", path.display(), source.line(), source.column())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The architecture is not one of the families this engine computes.
    #[error(
        "{}: architecture {value} is not supported; supported are Qwen2ForCausalLM, Qwen3ForCausalLM, LlamaForCausalLM, MistralForCausalLM, InternLM2ForCausalLM, GlmForCausalLM, Glm4ForCausalLM, ChatGLMModel, Gemma2ForCausalLM, TelechatForCausalLM, MixtralForCausalLM, Qwen2MoeForCausalLM, Qwen3MoeForCausalLM, DeepseekV2ForCausalLM and DeepseekV3ForCausalLM, and for embedding and ranking BertModel, XLMRobertaModel and their ForSequenceClassification",
        path.display()
    )]
    UnknownArchitecture {
        /// The configuration file.
        path: PathBuf,
        /// The name it gives, as in the file.
        value: String,
    },
    /// A setting has a value that this engine does not compute.
    #[error("{}: {field} = {value} is not supported ({expected})", path.display())]
    Unsupported {
        /// The configuration file.
        path: PathBuf,
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is supported.
        expected: &'static str,
    },
    /// Settings contradict each other or are out of range.
    #[error("{}: {field} {problem}", path.display())]
    InvalidConfig {
        /// The configuration file.
        path: PathBuf,
        /// The setting.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A weight file's header is malformed.
    #[error("{}: the safetensors header is not valid", path.display())]
    Header {
        /// The weight file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: HeaderError,
    },
    /// A weight file is shorter or longer than its header says, as after a broken download.
    #[error(
        "{}: the file has {actual} bytes but its header announces {expected}; it is truncated or damaged",
        path.display()
    )]
    WrongLength {
        /// The weight file.
        path: PathBuf,
        /// Bytes that the header announces, header included.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// A tensor that the architecture needs is in no weight file.
    #[error("{}: tensor {name} is missing", path.display())]
    MissingTensor {
        /// The weight file or index that should have it.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("{}: tensor {name} has shape {actual:?}, the configuration asks for {expected:?}", path.display())]
    WrongShape {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that follows from config.json.
        expected: Vec<usize>,
        /// The shape in the file.
        actual: Vec<usize>,
    },
    /// An adapter's weight file is no safetensors file, or damaged.
    #[error("{}: the adapter's weights cannot be read", path.display())]
    Adapter {
        /// The weight file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// An adapter has only weights that reading could run code of.
    #[error(
        "{}: pickled weights are not read, since they can run code; load the adapter with PEFT and save it again with safe_serialization=True, which writes adapter_model.safetensors",
        path.display()
    )]
    PickledAdapter {
        /// The weight file.
        path: PathBuf,
    },
    /// A setting of an adapter has a value that this engine does not compute, or that it does not know.
    #[error("{}: {field} = {value} is not supported ({expected})", path.display())]
    AdapterSetting {
        /// The adapter's configuration.
        path: PathBuf,
        /// The setting.
        field: String,
        /// Its value, shortened.
        value: String,
        /// What is supported.
        expected: &'static str,
    },
    /// An adapter names another model than the one that it is loaded for.
    #[error(
        "{}: base_model_name_or_path says that the adapter is for {adapted}, the model is called {base}; if both are the same, remove that setting",
        path.display()
    )]
    AdapterBase {
        /// The adapter's configuration.
        path: PathBuf,
        /// The model that it names.
        adapted: String,
        /// The name that the model's own file, the hub's cache, or else its folder or file states.
        base: String,
    },
    /// An adapter has a tensor of a layer that the model does not have.
    #[error(
        "{}: tensor {name} is of a layer that the model does not have, it has {layers}; is the adapter for another model?",
        path.display()
    )]
    AdapterLayer {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The layers of the model.
        layers: usize,
    },
    /// An adapter lacks a matrix that its configuration asks for.
    #[error(
        "{}: tensor {name} is missing; target_modules in adapter_config.json asks for it in the model's {layers} layers; is the file whole, and the adapter for this model?",
        path.display()
    )]
    AdapterTensor {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The layers of the model.
        layers: usize,
    },
    /// A matrix of an adapter has values that are infinite or no numbers.
    #[error("{}: tensor {name} has values that are not numbers", path.display())]
    AdapterValues {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// An adapter has a tensor that is none of a projection's two matrices.
    #[error(
        "{}: tensor {name} is not supported; an adapter may have lora_A and lora_B of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj in the model's layers",
        path.display()
    )]
    UnknownTensor {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A matrix of an adapter does not fit the model or the rank that its configuration states.
    #[error(
        "{}: tensor {name} has shape {actual:?}, the model and the rank in adapter_config.json ask for {expected:?}; is the adapter for another model?",
        path.display()
    )]
    WrongAdapterShape {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that it must have.
        expected: Vec<usize>,
        /// The shape in the file.
        actual: Vec<usize>,
    },
    /// The model's adapters would take too much memory together.
    #[error("{}: the adapter needs {bytes} bytes, {left} are left for the model's adapters", folder.display())]
    Adapters {
        /// The adapter's folder.
        folder: PathBuf,
        /// Bytes that it needs.
        bytes: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// The model is not computed on the CPU, and adapters are computed nowhere else.
    #[error("{}: adapters are for models on the CPU", folder.display())]
    NoAdapters {
        /// The adapter's folder.
        folder: PathBuf,
    },
    /// The model's tensors do not lie as adapters name them, or it has experts or latents.
    #[error("{}: adapters are not supported for models of the family {family}", folder.display())]
    AdapterFamily {
        /// The adapter's folder.
        folder: PathBuf,
        /// The model's family.
        family: String,
    },
    /// A tensor has a number format other than f32, bf16 and f16, and is no matrix of 8-bit floats where
    /// the configuration says that there are any.
    #[error(
        "{}: tensor {name} has the number format {format}; supported are F32, BF16 and F16, and F8_E4M3 of matrices where quantization_config says fp8",
        path.display()
    )]
    WrongFormat {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The format, as the file names it.
        format: String,
    },
    /// A quantised tensor's value or scale is infinite or no number at all.
    #[error("{}: tensor {name} has {value} in row {row}, column {column}, which is no weight; the file is damaged", path.display())]
    NotFinite {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Where in the tensor, from 0.
        row: usize,
        /// Where in the row, from 0.
        column: usize,
        /// What is there.
        value: f32,
    },
    /// A tensor's values do not make the matrix that they should.
    #[error("{}: tensor {name} cannot be packed", path.display())]
    Layout {
        /// The weight file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A GGUF file is damaged, or holds something that this engine does not compute.
    #[error("{}: the GGUF file cannot be used", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<GgufError>,
    },
    /// The compute device refused, for example for lack of memory.
    #[error("{}: the weights cannot be placed on the device", folder.display())]
    Device {
        /// The model folder.
        folder: PathBuf,
        /// What the device said.
        #[source]
        source: candle_core::Error,
    },
    /// The memory for keys and values cannot be had.
    #[error("engine.kv_cache_mb: {bytes} bytes for keys and values cannot be had; choose less")]
    Cache {
        /// Bytes that were asked for.
        bytes: u64,
        /// How much there is, or what the system or the device said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The memory for keys and values is too little for the context that was chosen.
    #[error(
        "context_length: {context} tokens need {needed_mb} MiB for keys and values, and engine.kv_cache_mb = {given_mb} has room for {positions}; raise it, or choose a shorter context"
    )]
    Context {
        /// The context in tokens.
        context: u32,
        /// The memory that it needs, in MiB.
        needed_mb: u64,
        /// The memory there is, in MiB.
        given_mb: u64,
        /// Tokens that there is room for.
        positions: u32,
    },
    /// The engine's threads could not be started.
    #[error("the engine's threads cannot be started")]
    Threads(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is wrong with a safetensors header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It announces a size that cannot be.
    #[error("it announces {announced} bytes, more than the file has or than the limit of 100 MB")]
    TooLong {
        /// Bytes that the first eight bytes of the file announce.
        announced: u64,
    },
    /// It is not the JSON it has to be, or its offsets overlap or leave gaps.
    #[error(transparent)]
    Malformed(serde_json::Error),
}
