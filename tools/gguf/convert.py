"""Writes a GGUF from a Hugging Face folder with the Python package `gguf`.

A small stand-in for llama.cpp's `convert_hf_to_gguf.py`, for the three families that Silica
computes: llama.cpp's tensor names, its order of the rows of Llama's query and key projections,
norms and biases in f32.

    python convert.py ../../models/tiny-chat tiny-chat-q8_0.gguf --type Q8_0
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file

import k_quants

ARCHITECTURES = {
    "Qwen2ForCausalLM": ("qwen2", gguf.MODEL_ARCH.QWEN2),
    "Qwen3ForCausalLM": ("qwen3", gguf.MODEL_ARCH.QWEN3),
    "LlamaForCausalLM": ("llama", gguf.MODEL_ARCH.LLAMA),
    "MistralForCausalLM": ("llama", gguf.MODEL_ARCH.LLAMA),
}

# llama.cpp's numbers for whole files (`llama_ftype`); 15 is Q4_K_M.
FILE_TYPES = {
    Type.F32: 0,
    Type.F16: 1,
    Type.Q4_0: 2,
    Type.Q8_0: 7,
    Type.Q5_0: 8,
    Type.Q4_K: 15,
    Type.Q6_K: 18,
    Type.BF16: 32,
}
K_QUANTS = {Type.Q4_K: k_quants.q4_k, Type.Q6_K: k_quants.q6_k}


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """Llama's rotation pairs neighbours in llama.cpp, and halves in transformers."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def llama3_factors(scaling: dict, theta: float, head_dim: int) -> np.ndarray:
    wavelengths = 2 * np.pi * theta ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    original = scaling["original_max_position_embeddings"]
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / scaling["factor"] + smooth)).astype(np.float32)


def add_settings(writer: gguf.GGUFWriter, config: dict, head_dim: int) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(head_dim)
    writer.add_vocab_size(config["vocab_size"])


def add_byte_level_tokenizer(
    writer: gguf.GGUFWriter, tokenizer: dict, pre: str, vocabulary_size: int
) -> None:
    """A byte-level tokenizer.json, padded to the model's number of logits."""
    spellings = {id: text for text, id in tokenizer["model"]["vocab"].items()}
    kinds = {}
    for token in tokenizer["added_tokens"]:
        spellings[token["id"]] = token["content"]
        special = token["special"]
        kinds[token["id"]] = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
    tokens, types = [], []
    for id in range(vocabulary_size):
        normal = gguf.TokenType.NORMAL if id in spellings else gguf.TokenType.UNUSED
        tokens.append(spellings.get(id, f"[PAD{id}]"))
        types.append(kinds.get(id, normal))
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])


def type_of(name: str, type: Type, tied: bool, width: int, layers: int) -> Type:
    """The head keeps more bits, as in `llama-quantize` (which takes Q6_K where the width allows).

    `Q4_K` stands for the mix that is called Q4_K_M, with its more precise values and `down`
    projections, and what it falls back to where a row is no multiple of 256 values.
    """
    is_head = name == ("model.embed_tokens.weight" if tied else "lm_head.weight")
    if type in (Type.Q4_0, Type.Q5_0):
        return Type.Q8_0 if is_head else type
    if type != Type.Q4_K:
        return type
    precise = is_head
    if "v_proj" in name or "down_proj" in name:
        layer = int(name.split(".")[2])
        first, last = layers // 8, 7 * layers // 8
        precise = layer < first or layer >= last or (layer - first) % 3 == 2
    if width % 256 == 0:
        return Type.Q6_K if precise else Type.Q4_K
    return Type.Q8_0 if precise else Type.Q5_0


def quantized(values: np.ndarray, type: Type) -> np.ndarray:
    if type in K_QUANTS:
        return k_quants.quantize(values, K_QUANTS[type])
    return gguf.quants.quantize(values, type)


def add_tensors(
    writer: gguf.GGUFWriter, weights: dict, config: dict, architecture: gguf.MODEL_ARCH, type: Type
) -> None:
    layers = config["num_hidden_layers"]
    names = gguf.get_tensor_name_map(architecture, layers)
    llama = architecture == gguf.MODEL_ARCH.LLAMA
    tied = bool(config.get("tie_word_embeddings"))
    for name, values in sorted(weights.items()):
        if name == "lm_head.weight" and tied:
            continue
        if llama and "q_proj" in name:
            values = permuted(values, config["num_attention_heads"])
        if llama and "k_proj" in name:
            values = permuted(values, config["num_key_value_heads"])
        matrix = values.ndim > 1
        own = type_of(name, type, tied, values.shape[-1], layers) if matrix else Type.F32
        values = np.ascontiguousarray(values, dtype=np.float32)
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ValueError(f"{name} has no name in llama.cpp")
        writer.add_tensor(target, quantized(values, own), raw_dtype=own)


def write(folder: Path, output: Path, type: Type, add_tokenizer) -> None:
    """`add_tokenizer` takes the writer."""
    config = json.loads((folder / "config.json").read_text())
    write_model(folder.name, config, load_file(folder / "model.safetensors"), output, type, add_tokenizer)


def write_model(name: str, config: dict, weights: dict, output: Path, type: Type, add_tokenizer) -> None:
    prefix, architecture = ARCHITECTURES[config["architectures"][0]]
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer = gguf.GGUFWriter(output, prefix)
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[type])
    add_settings(writer, config, head_dim)
    add_tokenizer(writer)
    scaling = config.get("rope_scaling") or {}
    if scaling.get("rope_type") == "llama3":
        factors = llama3_factors(scaling, config["rope_theta"], head_dim)
        writer.add_tensor("rope_freqs.weight", factors)
    add_tensors(writer, weights, config, architecture, type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def folder_tokenizer(folder: Path, pre: str | None):
    """The folder's tokenizer: in llama.cpp's form when `pre` is given, and as the whole file."""
    text = (folder / "tokenizer.json").read_text()
    tokenizer = json.loads(text)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}

    def add(writer: gguf.GGUFWriter) -> None:
        add_byte_level_tokenizer(writer, tokenizer, pre or "default", config["vocab_size"])
        if pre is None:
            # llama.cpp has no name for this splitting; the format has a place for the original.
            writer.add_string("tokenizer.huggingface.json", text)
        writer.add_eos_token_id(ids[settings["eos_token"]])
        writer.add_add_bos_token(bool(settings.get("add_bos_token")))
        if settings.get("pad_token"):
            writer.add_pad_token_id(ids[settings["pad_token"]])
        if settings.get("chat_template"):
            writer.add_chat_template(settings["chat_template"])

    return add


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", default="Q8_0", choices=[type.name for type in FILE_TYPES])
    parser.add_argument("--pre", help="llama.cpp's name of the splitting; else the original is kept")
    arguments = parser.parse_args()
    tokenizer = folder_tokenizer(arguments.folder, arguments.pre)
    write(arguments.folder, arguments.output, Type[arguments.type], tokenizer)


if __name__ == "__main__":
    main()
