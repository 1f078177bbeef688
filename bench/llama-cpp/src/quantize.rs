//! Files of other formats.

use std::ffi::CString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use llama_cpp_sys_2 as llama;

/// What to write.
#[derive(Debug, Args)]
pub(crate) struct QuantizeArguments {
    /// A GGUF in F32, F16 or BF16.
    input: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// Its format, with llama.cpp's own choice for each tensor.
    #[arg(long, value_enum)]
    r#type: FileType,
}

/// Formats there are.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[expect(non_camel_case_types, reason = "these are the names of the formats")]
enum FileType {
    #[value(name = "Q8_0")]
    Q8_0,
    #[value(name = "Q4_0")]
    Q4_0,
    #[value(name = "Q4_K_M")]
    Q4_K_M,
    #[value(name = "Q6_K")]
    Q6_K,
}

pub(crate) fn run(arguments: &QuantizeArguments) -> Result<()> {
    let path = |path: &PathBuf| {
        CString::new(path.to_str().context("a path is no UTF-8")?).map_err(anyhow::Error::from)
    };
    let (input, output) = (path(&arguments.input)?, path(&arguments.output)?);
    // SAFETY: the function has no conditions.
    let mut parameters = unsafe { llama::llama_model_quantize_default_params() };
    parameters.ftype = match arguments.r#type {
        FileType::Q8_0 => llama::LLAMA_FTYPE_MOSTLY_Q8_0,
        FileType::Q4_0 => llama::LLAMA_FTYPE_MOSTLY_Q4_0,
        FileType::Q4_K_M => llama::LLAMA_FTYPE_MOSTLY_Q4_K_M,
        FileType::Q6_K => llama::LLAMA_FTYPE_MOSTLY_Q6_K,
    };
    // SAFETY: both strings end with a zero byte and outlive the call, as do the parameters, whose
    // pointers are null.
    let status =
        unsafe { llama::llama_model_quantize(input.as_ptr(), output.as_ptr(), &raw const parameters) };
    ensure!(
        status == 0,
        "llama.cpp could not quantise {}",
        arguments.input.display()
    );
    Ok(())
}
