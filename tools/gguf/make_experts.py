"""Writes the GGUF fixtures of the families with experts and with latent attention.

The layout is that of `make_fixtures.py`; models are those of `../parity/make_experts.py`, in other
sizes. The files have what llama.cpp's converter writes for these architectures: experts behind one
another in tensors of three dimensions, the router in f32, and the matrix from latents to keys and
values of heads in one (as before April 2025) or apart, that of keys turned.
"""

import importlib.util
import json
import shutil
import sys
import unicodedata
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file
from tokenizers import Regex, Tokenizer, pre_tokenizers
from transformers.utils import logging

import convert

# Both folders have a `make_fixtures.py`; that of the parity fixtures goes by its name here.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
import make_experts as parity  # noqa: E402

specification = importlib.util.spec_from_file_location("base", Path(__file__).with_name("make_fixtures.py"))
base = importlib.util.module_from_spec(specification)
specification.loader.exec_module(base)

FIXTURES, TEXTS, VOCABULARY = base.FIXTURES, base.TEXTS, base.VOCABULARY

ARCHITECTURES = {
    "mixtral": ("llama", gguf.MODEL_ARCH.LLAMA),
    "qwen2_moe": ("qwen2moe", gguf.MODEL_ARCH.QWEN2MOE),
    "qwen3_moe": ("qwen3moe", gguf.MODEL_ARCH.QWEN3MOE),
    "deepseek_v2": ("deepseek2", gguf.MODEL_ARCH.DEEPSEEK2),
    "deepseek_v3": ("deepseek2", gguf.MODEL_ARCH.DEEPSEEK2),
}
EXPERT = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}


def deepseek_tokenizer(patterns: list[str]) -> Tokenizer:
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated", False) for pattern in patterns]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    content = base.trained_byte_level(pre_tokenizers.Sequence([*splits, last]))
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens(["<|begin_of_text|>", *base.ENDS])
    return tokenizer


def cased_letters() -> str:
    """As ranges, without those of mathematics."""
    ranges = []
    for code in [*range(0x1D400), *range(0x1D800, 0x1E944)]:
        if unicodedata.category(chr(code)) in ("Lu", "Ll", "Lt"):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(chr(first) if first == last else f"{chr(first)}-{chr(last)}" for first, last in ranges)


def v2_tokenizer() -> Tokenizer:
    punctuation = "!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002"
    chinese = "\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff"
    letters = cased_letters()
    return deepseek_tokenizer(
        ["[\r\n]", f"\\s?[{letters}]+", f"\\s?[{punctuation}]+", "\\s+$", f"[{chinese}]+", "\\p{N}+"]
    )


def v3_tokenizer() -> Tokenizer:
    marks = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    words = "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    rest = " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
    return deepseek_tokenizer(
        ["\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", f"{marks}|{words}|{rest}"]
    )


def add_settings(writer: gguf.GGUFWriter, config: dict, joined: bool) -> None:
    family = config["model_type"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    rope = config["rope_parameters"]
    writer.add_rope_freq_base(rope["rope_theta"])
    experts = [config.get(key) for key in ("n_routed_experts", "num_local_experts", "num_experts")]
    writer.add_expert_count(next(filter(None, experts)))
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if not family.startswith("deepseek"):
        width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_key_length(width)
        writer.add_value_length(width)
        writer.add_rope_dimension_count(width)
        if family != "mixtral":
            writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
        if family == "qwen2_moe":
            writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
        return
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    if config.get("norm_topk_prob"):
        writer.add_expert_weights_norm(True)
    if family == "deepseek_v3":
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if config["n_group"] > 1:
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
    if config.get("q_lora_rank"):
        writer.add_q_lora_rank(config["q_lora_rank"])
    rank, rotated = config["kv_lora_rank"], config["qk_rope_head_dim"]
    keys, values = config["qk_nope_head_dim"] + rotated, config["v_head_dim"]
    writer.add_kv_lora_rank(rank)
    writer.add_rope_dimension_count(rotated)
    if joined:
        writer.add_head_count_kv(config["num_attention_heads"])
        writer.add_key_length(keys)
        writer.add_value_length(values)
    else:
        writer.add_head_count_kv(1)
        writer.add_key_length(rank + rotated)
        writer.add_value_length(rank)
        writer.add_key_length_mla(keys)
        writer.add_value_length_mla(values)
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])


def stacked(weights: dict, config: dict, joined: bool) -> dict:
    """Experts and heads behind one another."""
    tensors, experts = {}, {}
    for name, values in weights.items():
        if ".experts." in name:
            module, rest = name.replace("block_sparse_moe", "mlp").split(".experts.")
            number, projection, kind = rest.split(".")
            projection = EXPERT.get(projection, projection)
            experts.setdefault(f"{module}.experts.{projection}.{kind}", {})[int(number)] = values
        elif name.endswith("kv_b_proj.weight") and not joined:
            heads, plain = config["num_attention_heads"], config["qk_nope_head_dim"]
            apart = values.reshape(heads, plain + config["v_head_dim"], -1)
            tensors[name.replace("kv_b", "k_b")] = apart[:, :plain].transpose(0, 2, 1)
            tensors[name.replace("kv_b", "v_b")] = apart[:, plain:]
        elif name.endswith("shared_expert_gate.weight"):
            tensors[name] = values[0]
        elif name.endswith("e_score_correction_bias"):
            tensors[name.replace("_bias", ".bias")] = values
        else:
            tensors[name] = values
    for name, parts in experts.items():
        tensors[name] = np.stack([parts[number] for number in range(len(parts))])
    return tensors


def write_gguf(folder: Path, output: Path, type: Type, add_tokenizer, joined: bool) -> None:
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    write_model(folder.name, config, weights, output, type, add_tokenizer, joined)


def write_model(
    name: str, config: dict, weights: dict, output: Path, type: Type, add_tokenizer, joined: bool
) -> None:
    prefix, architecture = ARCHITECTURES[config["model_type"]]
    layers = config["num_hidden_layers"]
    names = gguf.get_tensor_name_map(architecture, layers)
    writer = gguf.GGUFWriter(output, prefix)
    writer.add_name(name)
    writer.add_file_type(convert.FILE_TYPES[type])
    add_settings(writer, config, joined)
    add_tokenizer(writer)
    for name, values in sorted(stacked(weights, config, joined).items()):
        if config["model_type"] == "mixtral" and "q_proj" in name:
            values = convert.permuted(values, config["num_attention_heads"])
        if config["model_type"] == "mixtral" and "k_proj" in name:
            values = convert.permuted(values, config["num_key_value_heads"])
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ValueError(f"{name} has no name in llama.cpp")
        matrix = values.ndim > 1 and "ffn_gate_inp" not in target
        tied = config["tie_word_embeddings"]
        own = convert.type_of(name, type, tied, values.shape[-1], layers) if matrix else Type.F32
        values = np.ascontiguousarray(values, dtype=np.float32)
        writer.add_tensor(target, convert.quantized(values, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_mix(add_tokenizer) -> None:
    """Experts in the mix of formats that is called Q4_K_M. All of them compute every token, so that
    rounding can choose no others."""
    config = base.COMMON | {
        "model_type": "qwen3_moe",
        "head_dim": 32,
        "hidden_size": 256,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_experts": 2,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 256,
        "rope_parameters": {"rope_theta": 10000.0},
        "tie_word_embeddings": True,
    }
    weights = base.random_weights(config, "qwen3", 15)
    random = np.random.default_rng(16)
    start = "model.layers.0.mlp."
    for projection in ("gate", "up", "down"):
        weights.pop(f"{start}{projection}_proj.weight")
        for expert in range(config["num_experts"]):
            values = random.normal(0, 0.2, (256, 256)).astype(np.float16)
            weights[f"{start}experts.{expert}.{projection}_proj.weight"] = values
    weights[f"{start}gate.weight"] = random.normal(0, 0.05, (2, 256)).astype(np.float16)
    output = FIXTURES / "qwen3moe-q4_k_m.gguf"
    write_model("qwen3moe-q4_k_m", config, weights, output, Type.Q4_K, add_tokenizer, False)


def write(name: str, family: str, settings: dict, tokenizer, types: list[Type], seed: int, joined=False) -> None:
    add_tokenizer, encode = tokenizer
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    config_class, model_class = parity.CLASSES[family]
    settings = {**settings, "vocab_size": VOCABULARY, "num_hidden_layers": 2}
    config = config_class(**settings, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    model = model_class(config)
    generator = torch.Generator().manual_seed(seed)
    parity.randomise(model, generator, 1.0)
    parity.randomise_routers(model, generator)
    model.to(torch.float16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for type in types:
        write_gguf(folder, folder / f"model-{type.name.lower()}.gguf", type, add_tokenizer, joined)
    expected = [{"text": text, "ids": encode(text)} for text in TEXTS]
    content = json.dumps(expected, indent=1, ensure_ascii=False)
    (folder / "tokens.json").write_text(content + "\n")
    print(f"{name}: {sum(file.stat().st_size for file in folder.iterdir())} bytes")


def main() -> None:
    logging.disable_progress_bar()
    ids = lambda tokenizer: lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    qwen, v2, v3, pieces = base.qwen_tokenizer(), v2_tokenizer(), v3_tokenizer(), base.piece_model()
    qwen = (base.byte_level_adder(qwen, "qwen2", None), ids(qwen))
    v2 = (base.byte_level_adder(v2, "deepseek-llm", "<|begin_of_text|>"), ids(v2))
    v3 = (base.byte_level_adder(v3, "deepseek-v3", "<|begin_of_text|>"), ids(v3))
    llama = (base.piece_adder(pieces), lambda text: pieces.EncodeAsIds(text))
    quantised = [Type.F16, Type.Q8_0, Type.Q4_0]
    write("mixtral", "mixtral", parity.small(num_local_experts=4, num_experts_per_tok=2), llama, quantised, 10)
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    shared = parity.small(shared_expert_intermediate_size=32, norm_topk_prob=False, **experts)
    write("qwen2-moe", "qwen2_moe", shared, qwen, quantised, 11)
    tied = parity.small(norm_topk_prob=True, tie_word_embeddings=True, **experts)
    write("qwen3-moe", "qwen3_moe", tied, qwen, [*quantised, Type.Q5_0], 12)
    widths = {
        "kv_lora_rank": 32,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16,
        "v_head_dim": 32,
        "moe_intermediate_size": 32,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
    }
    lite = parity.latent(
        **{**widths, "q_lora_rank": None, "n_group": 1, "topk_group": 1, **parity.yarn(0.707)}
    )
    write("deepseek-v2", "deepseek_v2", lite, v2, quantised, 13, joined=True)
    groups = {"n_group": 2, "topk_group": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": True}
    full = parity.latent(**{**widths, "q_lora_rank": 32, **groups, **parity.yarn(1.0)})
    write("deepseek-v3", "deepseek_v3", full, v3, [Type.F16, Type.Q8_0], 14)
    write_mix(qwen[0])


if __name__ == "__main__":
    main()
