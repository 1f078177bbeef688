//! The settings of experts and of latent attention, as `config.json` has them.

use serde_json::{Map, Value, json};

use super::{Architecture, Settings};
use crate::gguf::GgufError;
use crate::gguf::file::GgufFile;

/// llama.cpp's numbers of what makes scores of a router's logits (`llama_expert_gating_func_type`).
const SOFTMAX: u64 = 1;
const SIGMOID: u64 = 2;

/// What llama.cpp calls `deepseek2` is V3 where scores are sigmoids.
pub(super) fn deepseek(file: &GgufFile) -> Result<Architecture, GgufError> {
    let key = "deepseek2.expert_gating_func";
    match file.unsigned(key)? {
        // Files from before V3 do not say.
        None | Some(0 | SOFTMAX) => Ok(Architecture::DeepSeekV2),
        Some(SIGMOID) => Ok(Architecture::DeepSeekV3),
        Some(other) => Err(GgufError::Unsupported {
            key: key.to_owned(),
            value: other.to_string(),
            expected: "1 (softmax) or 2 (sigmoid)",
        }),
    }
}

/// Adds the settings of the architectures that have experts.
pub(super) fn add(settings: &Settings<'_>, config: &mut Map<String, Value>) -> Result<(), GgufError> {
    let architecture = settings.architecture;
    match architecture {
        Architecture::Mixtral => {
            config.insert(
                "num_local_experts".to_owned(),
                json!(settings.needed("expert_count")?),
            );
        }
        Architecture::Qwen2Moe | Architecture::Qwen3Moe => {
            config.insert("num_experts".to_owned(), json!(settings.needed("expert_count")?));
            config.insert("moe_intermediate_size".to_owned(), json!(expert_width(settings)?));
            // Not in the file: what llama.cpp computes of each.
            let normalised = architecture == Architecture::Qwen3Moe;
            config.insert("norm_topk_prob".to_owned(), json!(normalised));
        }
        Architecture::DeepSeekV2 | Architecture::DeepSeekV3 => {
            add_latent_attention(settings, config)?;
            if settings.size("expert_count")?.is_none_or(|count| count == 0) {
                return Ok(());
            }
            add_deepseek(settings, config)?;
        }
        _ => return Ok(()),
    }
    if architecture == Architecture::Qwen2Moe {
        let given = settings.size("expert_shared_feed_forward_length")?;
        let width = match given.filter(|width| *width > 0) {
            // As in llama.cpp: files from before the setting have a shared expert as wide as a dense block.
            None => dense_width(settings)?,
            Some(width) => width,
        };
        config.insert("shared_expert_intermediate_size".to_owned(), json!(width));
    }
    config.insert(
        "num_experts_per_tok".to_owned(),
        json!(settings.needed("expert_used_count")?),
    );
    Ok(())
}

/// Width inside an expert of Qwen's; in files that do not say, what llama.cpp takes.
fn expert_width(settings: &Settings<'_>) -> Result<u64, GgufError> {
    let given = settings.size("expert_feed_forward_length")?;
    if let Some(width) = given.filter(|width| *width > 0) {
        return Ok(width);
    }
    let chosen = settings.needed("expert_used_count")?;
    Ok(dense_width(settings)?.checked_div(chosen).unwrap_or_default())
}

fn dense_width(settings: &Settings<'_>) -> Result<u64, GgufError> {
    let name = "feed_forward_length";
    let width = settings.size_of_layers(name)?;
    width.ok_or_else(|| super::missing(&settings.key(name)))
}

/// The groups of a layer's experts, and how many of them are chosen from.
///
/// Converters write both since autumn 2025. Older files are of models whose groups are known by the
/// number of experts: V2, V2.5 and Coder-V2 have 160, V3 and R1 have 256 (their `config.json`,
/// `n_group` and `topk_group`). Without the groups other experts would compute the tokens, and
/// nothing would say so.
fn expert_groups(settings: &Settings<'_>) -> Result<(u64, u64), GgufError> {
    let kept = settings.size("expert_group_used_count")?;
    if let Some(groups) = settings.size("expert_group_count")? {
        return Ok((groups.max(1), kept.unwrap_or(1).max(1)));
    }
    let experts = settings.needed("expert_count")?;
    Ok(match (settings.architecture, experts) {
        (Architecture::DeepSeekV2, 160) => (8, 3),
        (Architecture::DeepSeekV3, 256) => (8, 4),
        // V2-Lite and what is made of it.
        (Architecture::DeepSeekV2, 64) => (1, 1),
        _ => {
            tracing::warn!(
                path = %settings.file.path().display(),
                experts,
                "the file does not say whether its experts are in groups; they are taken to be in one"
            );
            (1, 1)
        }
    })
}

fn add_deepseek(settings: &Settings<'_>, config: &mut Map<String, Value>) -> Result<(), GgufError> {
    let is_v3 = settings.architecture == Architecture::DeepSeekV3;
    let (groups, kept) = expert_groups(settings)?;
    let normalised = settings.file.bool(&settings.key("expert_weights_norm"))?;
    // 0 is what llama.cpp takes for no scale.
    let scale = settings
        .real("expert_weights_scale")?
        .filter(|scale| *scale != 0.0);
    let method = match (is_v3, groups) {
        (true, _) => "noaux_tc",
        (false, 1) => "greedy",
        (false, _) => "group_limited_greedy",
    };
    let experts = json!({
        "n_routed_experts": settings.needed("expert_count")?,
        "n_shared_experts": settings.size("expert_shared_count")?.unwrap_or(0),
        "moe_intermediate_size": settings.needed("expert_feed_forward_length")?,
        "first_k_dense_replace": settings.size("leading_dense_block_count")?.unwrap_or(0),
        "moe_layer_freq": 1,
        "scoring_func": if is_v3 { "sigmoid" } else { "softmax" },
        "topk_method": method,
        "n_group": groups,
        "topk_group": kept,
        "norm_topk_prob": normalised.unwrap_or(false),
        "routed_scaling_factor": scale.unwrap_or(1.0),
    });
    if let Value::Object(experts) = experts {
        config.extend(experts);
    }
    Ok(())
}

/// In newer files the widths of a head are those of latents, and those of the heads beside them.
fn add_latent_attention(settings: &Settings<'_>, config: &mut Map<String, Value>) -> Result<(), GgufError> {
    let width = |name: &str| match settings.size(&format!("{name}_mla"))? {
        Some(width) => Ok(width),
        None => settings.needed(name),
    };
    let rope = settings.needed("rope.dimension_count")?;
    let queries = width("attention.key_length")?;
    let plain = queries.checked_sub(rope).ok_or_else(|| GgufError::Invalid {
        key: settings.key("rope.dimension_count"),
        problem: format!("({rope}) is more than the width of a head's keys ({queries})"),
    })?;
    let latent = json!({
        "q_lora_rank": settings.size("attention.q_lora_rank")?.filter(|rank| *rank > 0),
        "kv_lora_rank": settings.needed("attention.kv_lora_rank")?,
        "qk_nope_head_dim": plain,
        "qk_rope_head_dim": rope,
        "v_head_dim": width("attention.value_length")?,
    });
    if let Value::Object(latent) = latent {
        config.extend(latent);
    }
    // In newer files they are one; here all heads have one each.
    if let Some(heads) = config.get("num_attention_heads").cloned() {
        config.insert("num_key_value_heads".to_owned(), heads);
    }
    config.remove("head_dim");
    Ok(())
}
