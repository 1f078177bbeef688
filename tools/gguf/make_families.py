"""Writes GGUF files of the parity fixtures of the families that llama.cpp's converter rearranges.

What `convert_hf_to_gguf.py` of llama.cpp does to each (`conversion/internlm.py`, `chatglm.py`, `glm.py`, `gemma.py`):

    mistral     as Llama: rows of queries and keys reordered; the sliding window is written
    internlm2   `wqkv` taken apart, rows of queries and keys reordered
    chatglm     `query_key_value` and `dense_h_to_4h` stay packed (architecture `chatglm`)
    glm         `gate_up_proj` stays packed, the others stand alone (architecture `chatglm` too)
    glm4        as glm, with the norms behind the blocks (architecture `glm4`)
    gemma2      one is added to the weights of norms

They go to `crates/engine-candle/tests/fixtures/gguf/NAME-TYPE.gguf`, beside the fixtures that `make_fixtures.py`
writes. Their tokenizer is a list of words: what they are for is the weights.
"""

import json
from pathlib import Path

import gguf
import numpy as np
from gguf import MODEL_ARCH as Architecture
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file

from convert import FILE_TYPES, permuted

FIXTURES = Path(__file__).resolve().parents[2] / "crates/engine-candle/tests/fixtures"
FAMILIES = {
    "mistral": Architecture.LLAMA,
    "internlm2": Architecture.INTERNLM2,
    "chatglm": Architecture.CHATGLM,
    "glm": Architecture.CHATGLM,
    "glm4": Architecture.GLM4,
    "gemma2": Architecture.GEMMA2,
}


def either(config: dict, *names: str):
    return next(config[name] for name in names if name in config)


def add_settings(writer: gguf.GGUFWriter, name: str, config: dict) -> None:
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters", {})
    theta = rope.get("rope_theta") or config.get("rope_theta", 10000.0 * config.get("rope_ratio", 1))
    writer.add_context_length(either(config, "seq_length", "max_position_embeddings"))
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(either(config, "num_hidden_layers", "num_layers"))
    writer.add_feed_forward_length(either(config, "intermediate_size", "ffn_hidden_size"))
    writer.add_head_count(heads)
    writer.add_head_count_kv(either(config, "num_key_value_heads", "multi_query_group_num"))
    writer.add_layer_norm_rms_eps(either(config, "rms_norm_eps", "layernorm_epsilon"))
    writer.add_rope_freq_base(theta)
    rotated = width // 2 if "glm" in name else width
    writer.add_rope_dimension_count(rotated)
    if "head_dim" in config:
        writer.add_key_length(width)
        writer.add_value_length(width)
    if name in ("mistral", "gemma2"):
        writer.add_sliding_window(config["sliding_window"])
    if name == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def add_tokenizer(writer: gguf.GGUFWriter, count: int) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    letters = ["a", "b", "ab"]
    writer.add_token_list(letters + [f"word{id}" for id in range(len(letters), count)])
    writer.add_token_types([gguf.TokenType.NORMAL] * count)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)


def rearranged(name: str, config: dict, weights: dict):
    """Names of llama.cpp's mapping and values."""
    heads = config["num_attention_heads"]
    keys = either(config, "num_key_value_heads", "multi_query_group_num")
    for original, values in sorted(weights.items()):
        values = values.astype(np.float32)
        original = original.removeprefix("transformer.")
        if name == "gemma2" and original.endswith("norm.weight"):
            values = values + 1
        if name == "mistral" and "q_proj" in original:
            values = permuted(values, heads)
        if name == "mistral" and "k_proj" in original:
            values = permuted(values, keys)
        if "attention.wqkv" in original:
            start = original.split("attention.")[0] + "self_attn."
            groups = values.reshape(keys, heads // keys + 2, -1, values.shape[1])
            rows = lambda part: part.reshape(-1, values.shape[1])
            yield start + "q_proj.weight", permuted(rows(groups[:, :-2]), heads)
            yield start + "k_proj.weight", permuted(rows(groups[:, -2]), keys)
            yield start + "v_proj.weight", rows(groups[:, -1])
            continue
        yield original, values


def write(name: str, type: Type) -> None:
    folder = FIXTURES / name
    config = json.loads((folder / "config.json").read_text())
    architecture = FAMILIES[name]
    names = gguf.get_tensor_name_map(architecture, 8)
    # The mapping of InternLM2 knows the packed projection only; its parts have the names of everyone's.
    parts = gguf.get_tensor_name_map(Architecture.LLAMA, 8)
    output = FIXTURES / "gguf" / f"{name}-{type.name.lower()}.gguf"
    writer = gguf.GGUFWriter(output, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[type])
    add_settings(writer, name, config)
    add_tokenizer(writer, config["vocab_size"])
    for original, values in rearranged(name, config, load_file(folder / "model.safetensors")):
        suffixes = (".weight", ".bias")
        target = names.get_name(original, suffixes) or parts.get_name(original, suffixes)
        if target is None:
            raise ValueError(f"{original} has no name in llama.cpp")
        own = type if values.ndim > 1 else Type.F32
        if target == "output.weight" or (name == "gemma2" and target == "token_embd.weight"):
            own = Type.Q8_0 if type == Type.Q4_0 else type
        values = np.ascontiguousarray(values)
        writer.add_tensor(target, gguf.quants.quantize(values, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    for name in FAMILIES:
        for type in [Type.F16, Type.Q4_0]:
            write(name, type)


if __name__ == "__main__":
    main()
