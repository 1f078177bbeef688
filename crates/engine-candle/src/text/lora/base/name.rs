//! Names of models, as hubs, folders and files have them.

/// Words behind a model's name that are of its format.
const FORMATS: [&str; 26] = [
    "3bit", "4bit", "6bit", "8bit", "awq", "bf16", "bnb", "dynamic", "f16", "f32", "fp16", "fp8", "gguf",
    "gptq", "hf", "i1", "imat", "int4", "int8", "mlx", "mxfp4", "nf4", "ud", "unsloth", "w4a16", "w8a8",
];
/// What follows the bits of a quantisation of llama.cpp, as in `Q4_K_M`, besides numbers.
const QUANTISED: [&str; 8] = ["k", "l", "m", "nl", "s", "xl", "xs", "xxs"];
/// What separates the words of a file's name, and a format from what stands before it.
const SEPARATORS: [char; 4] = ['-', '_', '.', ' '];
/// Who publishes models, where that stands before a file's name.
const ORGANISATIONS: [&str; 9] = [
    "01-ai",
    "deepseek-ai",
    "google",
    "internlm",
    "meta-llama",
    "microsoft",
    "mistralai",
    "nousresearch",
    "qwen",
];
/// Words that models begin with, each of a family.
const FAMILIES: [&str; 9] = [
    "deepseek", "gemma", "internlm", "llama", "mistral", "mixtral", "phi", "qwen", "yi",
];
/// Beginnings of relative paths that could be names of repositories.
const FOLDERS: [&str; 34] = [
    "artifacts",
    "base_models",
    "cache",
    "checkpoint",
    "checkpoints",
    "ckpt",
    "ckpts",
    "data",
    "exp",
    "experiments",
    "export",
    "exports",
    "home",
    "llms",
    "logs",
    "merged",
    "mnt",
    "model",
    "models",
    "opt",
    "out",
    "output",
    "outputs",
    "pretrained",
    "result",
    "results",
    "root",
    "run",
    "runs",
    "save",
    "saves",
    "tmp",
    "train",
    "weights",
];

/// Whether a name is that of a repository of a hub, `organisation/model`, and no path of somebody's files.
pub(super) fn is_repository(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let Some((organisation, model)) = name.split_once('/') else {
        return false;
    };
    let is_path = FOLDERS.contains(&organisation.to_ascii_lowercase().as_str())
        || ["checkpoint-", "global_step"]
            .into_iter()
            .any(|beginning| model.starts_with(beginning));
    is_part(organisation) && is_part(model) && !is_path
}

/// Whether a name says how large the model is, such as `7B` or `0.5b`: one that does not may be any word.
pub(super) fn has_size(name: &str) -> bool {
    plain(name).iter().any(|word| size(word).is_some())
}

/// The words of a name in lower case, without its organisation and what is said of the format.
pub(super) fn plain(name: &str) -> Vec<String> {
    // ModelScope's folders have three for a dot.
    let name = name.to_ascii_lowercase().replace("___", ".");
    let model = name.rsplit('/').next().unwrap_or(&name);
    let model = model.rsplit("--").next().unwrap_or(model);
    let model = match model.split_once('_') {
        Some((organisation, rest))
            if ORGANISATIONS.contains(&organisation)
                && rest.starts_with(|first: char| first.is_ascii_alphabetic()) =>
        {
            rest
        }
        _ => model,
    };
    let mut words: Vec<String> = without_format(model)
        .split(['-', '_', ' '])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    if words.len() > 1 && words[0] == "meta" {
        words.remove(0);
    }
    words
}

/// Whether the words of two names are clearly of two models: of different sizes, or of different families. Anything
/// else may be a name that somebody chose for their copy.
pub(super) fn are_clearly_other(left: &[String], right: &[String]) -> bool {
    let sizes = |words: &[String]| -> Vec<f64> { words.iter().filter_map(|word| size(word)).collect() };
    let (some, others) = (sizes(left), sizes(right));
    let is_same = |one: &f64| others.iter().any(|other| (one - other).abs() < 0.5);
    if !some.is_empty() && !others.is_empty() && !some.iter().any(is_same) {
        return true;
    }
    let first = |words: &[String]| words.first().map(|word| letters(word).to_owned());
    let known = |words: &[String]| first(words).filter(|word| FAMILIES.contains(&word.as_str()));
    let has = |words: &[String], family: &str| words.iter().any(|word| letters(word) == family);
    match (known(left), known(right)) {
        // One family's model may be distilled into another's, and name both.
        (Some(one), Some(other)) => !has(right, &one) && !has(left, &other),
        _ => false,
    }
}

/// The letters that a word begins with.
fn letters(word: &str) -> &str {
    let end = word.find(|letter: char| !letter.is_ascii_alphabetic());
    &word[..end.unwrap_or(word.len())]
}

/// The parameters that a word says, in millions; `8x7b` are eight times seven billion.
fn size(word: &str) -> Option<f64> {
    let (number, unit) = match word.strip_suffix('b') {
        Some(number) => (number, 1000.0),
        None => (word.strip_suffix('m')?, 1.0),
    };
    let digits = |factor: &str| factor.starts_with(|first: char| first.is_ascii_digit());
    let mut factors = number
        .split('x')
        .map(|factor| factor.parse::<f64>().ok().filter(|_| digits(factor)));
    factors.try_fold(unit, |product, factor| Some(product * factor?))
}

/// A name in lower case without what is said of the format behind it.
fn without_format(name: &str) -> &str {
    let mut rest = name;
    while let Some((before, last)) = rest.rsplit_once(SEPARATORS) {
        rest = match without_quantisation(rest) {
            Some(before) => before,
            None if last.is_empty() || FORMATS.contains(&last) => before,
            None => break,
        };
    }
    rest
}

/// What stands before a quantisation of llama.cpp such as `Q4_K_M`, `q8_0` or `IQ4_XS`.
fn without_quantisation(name: &str) -> Option<&str> {
    let mut rest = name;
    loop {
        let (before, last) = rest.rsplit_once(SEPARATORS)?;
        let bits = last.trim_start_matches(['i', 't']).strip_prefix('q');
        if bits.is_some_and(|bits| bits.len() == 1 && is_number(bits)) {
            return Some(before);
        }
        if !QUANTISED.contains(&last) && !is_number(last) {
            return None;
        }
        rest = before;
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_billions_or_millions() {
        assert!(
            ["Qwen2.5 0.5B", "mixtral-8x7b", "SmolLM 135M"]
                .into_iter()
                .all(has_size)
        );
        assert!(
            !["models", "LLaMA v2", "b", "Base m", "xb", "infb", "8xb"]
                .into_iter()
                .any(has_size)
        );
        assert_eq!(size("8x7b"), Some(56_000.0));
        assert_eq!(size("0.5b"), size("500m"));
    }

    #[test]
    fn formats_are_taken_off_the_end_only() {
        for (name, expected) in [
            ("mistral-7b-v0.1.q4_k_m", "mistral-7b-v0.1"),
            ("qwen3-8b-q8_0", "qwen3-8b"),
            ("llama-3.2-1b-ud-iq2_xxs", "llama-3.2-1b"),
            ("llama-3-8b.i1-q4_0_4_4", "llama-3-8b"),
            ("tq1_0", "tq1_0"),
            ("mistral-7b-v0.1", "mistral-7b-v0.1"),
            ("q4-chat-2", "q4-chat-2"),
            ("phi-3-m", "phi-3-m"),
            ("model-bf16.gguf", "model"),
        ] {
            assert_eq!(without_format(name), expected);
        }
    }

    #[test]
    fn organisations_in_front_are_no_part_of_a_name() {
        for name in [
            "mistralai/Mistral-7B-v0.1",
            "mistralai_Mistral-7B-v0.1",
            "mistralai--Mistral-7B-v0.1",
            "Mistral 7B v0.1",
        ] {
            assert_eq!(plain(name), ["mistral", "7b", "v0.1"], "{name}");
        }
        assert_eq!(plain("Meta-Llama_3"), ["llama", "3"]);
        assert_eq!(plain("meta"), ["meta"]);
    }
}
