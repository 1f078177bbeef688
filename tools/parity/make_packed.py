"""Writes the parity fixtures of families whose code is not in the library `transformers`.

InternLM2, ChatGLM (ChatGLM3 and the first GLM-4) and TeleChat come with code of their own, which packs
projections in its own ways. Their reference is written here, from what that code does, and computes with
the packed weights as they are in the file:

    InternLM2   modeling_internlm2.py of internlm/internlm2_5-7b-chat; vllm, models/internlm2.py
    ChatGLM     modeling_chatglm.py of THUDM/chatglm3-6b and THUDM/glm-4-9b-chat; vllm, models/chatglm.py
    TeleChat    modeling_telechat2.py of Tele-AI/TeleChat2; vllm, models/telechat2.py

Each is an ordinary model in an unusual layout. So the weights are taken apart too, and given to the model of
`transformers` that computes the same (Llama, GLM): this file refuses to write a fixture whose logits differ
between the two. Greedy answers are those of the latter, with its cache.

Files are as in make_fixtures.py.
"""

import json
import math
import shutil
import sys

import torch
from safetensors.torch import save_file
from torch.nn.functional import linear, silu
from transformers import GlmConfig, GlmForCausalLM, LlamaConfig, LlamaForCausalLM

from make_fixtures import FIXTURES, LENGTH, PROMPT, STANDARD_DEVIATION, VOCABULARY, greedy, rope, save_reference

HIDDEN, INNER, LAYERS, HEADS, KEY_HEADS, WIDTH = 64, 64, 2, 4, 2, 16
EPSILON = 1e-5


class Weights:
    """Tensors by their names in the file."""

    def __init__(self, generator):
        self.generator = generator
        self.tensors = {}

    def add(self, name, *shape, around=0.0, deviation=STANDARD_DEVIATION):
        values = around + deviation * torch.randn(shape, generator=self.generator)
        # As they are rounded for the file.
        self.tensors[name] = values.half().float()

    def norm(self, name):
        self.add(name, HIDDEN, around=1.0, deviation=0.2)

    def __getitem__(self, name):
        return self.tensors[name]


def normalised(values, weight):
    return values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + EPSILON) * weight


def causal_attention(queries, keys, values):
    """`[positions, heads, width]` each; every key head serves several query heads in a row."""
    group = queries.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
    scores = torch.einsum("qhd,khd->hqk", queries, keys) / math.sqrt(queries.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, values).flatten(1)


def angles(length, width, base):
    frequencies = base ** (-torch.arange(0, width, 2).float() / width)
    return torch.outer(torch.arange(length).float(), frequencies)


def rotated_halves(heads, turn):
    cosines, sines = turn.cos()[:, None], turn.sin()[:, None]
    first, second = heads.chunk(2, -1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1)


def rotated_neighbours(heads, turn):
    """The first dimensions of each head as complex numbers, one for two neighbours."""
    count = 2 * turn.shape[1]
    numbers = torch.view_as_complex(heads[..., :count].unflatten(-1, (-1, 2)).contiguous())
    numbers = numbers * torch.polar(torch.ones_like(turn), turn)[:, None]
    return torch.cat([torch.view_as_real(numbers).flatten(-2), heads[..., count:]], -1)


class InternLm2:
    """Projections of a key head's queries, its keys and its values lie together in `wqkv`."""

    POSITIONS, FACTOR, THETA = 32, 4.0, 10000.0
    config = {
        "architectures": ["InternLM2ForCausalLM"],
        "model_type": "internlm2",
        "bias": False,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KEY_HEADS,
        "rms_norm_eps": EPSILON,
        "rope_scaling": {"type": "dynamic", "factor": FACTOR},
        "rope_theta": THETA,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": VOCABULARY,
    }

    def draw(self, weights):
        weights.add("model.tok_embeddings.weight", VOCABULARY, HIDDEN)
        for start in (f"model.layers.{layer}." for layer in range(LAYERS)):
            weights.norm(start + "attention_norm.weight")
            weights.norm(start + "ffn_norm.weight")
            weights.add(start + "attention.wqkv.weight", (HEADS + 2 * KEY_HEADS) * WIDTH, HIDDEN)
            weights.add(start + "attention.wo.weight", HIDDEN, HEADS * WIDTH)
            weights.add(start + "feed_forward.w1.weight", INNER, HIDDEN)
            weights.add(start + "feed_forward.w3.weight", INNER, HIDDEN)
            weights.add(start + "feed_forward.w2.weight", HIDDEN, INNER)
        weights.norm("model.norm.weight")
        weights.add("output.weight", VOCABULARY, HIDDEN)

    def logits(self, weights, tokens):
        growth = self.FACTOR * len(tokens) / self.POSITIONS - (self.FACTOR - 1)
        base = self.THETA * max(growth, 1.0) ** (WIDTH / (WIDTH - 2))
        turn = angles(len(tokens), WIDTH, base)
        hidden = weights["model.tok_embeddings.weight"][tokens]
        for start in (f"model.layers.{layer}." for layer in range(LAYERS)):
            rows = normalised(hidden, weights[start + "attention_norm.weight"])
            mixed = linear(rows, weights[start + "attention.wqkv.weight"])
            mixed = mixed.view(len(tokens), KEY_HEADS, HEADS // KEY_HEADS + 2, WIDTH)
            queries = mixed[:, :, : HEADS // KEY_HEADS].reshape(len(tokens), HEADS, WIDTH)
            keys, values = mixed[:, :, -2], mixed[:, :, -1]
            attended = causal_attention(rotated_halves(queries, turn), rotated_halves(keys, turn), values)
            hidden = hidden + linear(attended, weights[start + "attention.wo.weight"])
            rows = normalised(hidden, weights[start + "ffn_norm.weight"])
            gate = silu(linear(rows, weights[start + "feed_forward.w1.weight"]))
            inner = gate * linear(rows, weights[start + "feed_forward.w3.weight"])
            hidden = hidden + linear(inner, weights[start + "feed_forward.w2.weight"])
        return linear(normalised(hidden, weights["model.norm.weight"]), weights["output.weight"])

    def equivalent(self, weights):
        settings = llama_settings(
            max_position_embeddings=self.POSITIONS, rope_parameters=rope("dynamic", self.THETA, factor=self.FACTOR)
        )
        tensors = {
            "model.embed_tokens.weight": weights["model.tok_embeddings.weight"],
            "model.norm.weight": weights["model.norm.weight"],
            "lm_head.weight": weights["output.weight"],
        }
        for start in (f"model.layers.{layer}." for layer in range(LAYERS)):
            packed = weights[start + "attention.wqkv.weight"].view(KEY_HEADS, -1, WIDTH, HIDDEN)
            tensors |= {
                start + "self_attn.q_proj.weight": packed[:, :-2].reshape(-1, HIDDEN),
                start + "self_attn.k_proj.weight": packed[:, -2].reshape(-1, HIDDEN),
                start + "self_attn.v_proj.weight": packed[:, -1].reshape(-1, HIDDEN),
                start + "self_attn.o_proj.weight": weights[start + "attention.wo.weight"],
                start + "mlp.gate_proj.weight": weights[start + "feed_forward.w1.weight"],
                start + "mlp.up_proj.weight": weights[start + "feed_forward.w3.weight"],
                start + "mlp.down_proj.weight": weights[start + "feed_forward.w2.weight"],
                start + "input_layernorm.weight": weights[start + "attention_norm.weight"],
                start + "post_attention_layernorm.weight": weights[start + "ffn_norm.weight"],
            }
        return LlamaForCausalLM, LlamaConfig(**settings), tensors


class ChatGlm:
    """Queries, keys and values lie one below the other in one tensor with biases; half of a head is rotated."""

    RATIO = 50
    config = {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "apply_query_key_layer_scaling": True,
        "apply_residual_connection_post_layernorm": False,
        "ffn_hidden_size": INNER,
        "hidden_size": HIDDEN,
        "kv_channels": WIDTH,
        "layernorm_epsilon": EPSILON,
        "multi_query_attention": True,
        "multi_query_group_num": KEY_HEADS,
        "num_attention_heads": HEADS,
        "num_layers": LAYERS,
        "original_rope": True,
        "padded_vocab_size": VOCABULARY,
        "post_layer_norm": True,
        "rmsnorm": True,
        "rope_ratio": RATIO,
        "seq_length": 256,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": VOCABULARY,
    }
    LAYER = "transformer.encoder.layers."

    def draw(self, weights):
        weights.add("transformer.embedding.word_embeddings.weight", VOCABULARY, HIDDEN)
        for start in (f"{self.LAYER}{layer}." for layer in range(LAYERS)):
            weights.norm(start + "input_layernorm.weight")
            weights.norm(start + "post_attention_layernorm.weight")
            weights.add(start + "self_attention.query_key_value.weight", (HEADS + 2 * KEY_HEADS) * WIDTH, HIDDEN)
            weights.add(start + "self_attention.query_key_value.bias", (HEADS + 2 * KEY_HEADS) * WIDTH)
            weights.add(start + "self_attention.dense.weight", HIDDEN, HEADS * WIDTH)
            weights.add(start + "mlp.dense_h_to_4h.weight", 2 * INNER, HIDDEN)
            weights.add(start + "mlp.dense_4h_to_h.weight", HIDDEN, INNER)
        weights.norm("transformer.encoder.final_layernorm.weight")
        weights.add("transformer.output_layer.weight", VOCABULARY, HIDDEN)

    def logits(self, weights, tokens):
        turn = angles(len(tokens), WIDTH // 2, 10000.0 * self.RATIO)
        hidden = weights["transformer.embedding.word_embeddings.weight"][tokens]
        for start in (f"{self.LAYER}{layer}." for layer in range(LAYERS)):
            rows = normalised(hidden, weights[start + "input_layernorm.weight"])
            packed = start + "self_attention.query_key_value."
            mixed = linear(rows, weights[packed + "weight"], weights[packed + "bias"])
            parts = mixed.split([HEADS * WIDTH, KEY_HEADS * WIDTH, KEY_HEADS * WIDTH], -1)
            queries, keys, values = (part.unflatten(-1, (-1, WIDTH)) for part in parts)
            attended = causal_attention(rotated_neighbours(queries, turn), rotated_neighbours(keys, turn), values)
            hidden = hidden + linear(attended, weights[start + "self_attention.dense.weight"])
            rows = normalised(hidden, weights[start + "post_attention_layernorm.weight"])
            gate, up = linear(rows, weights[start + "mlp.dense_h_to_4h.weight"]).chunk(2, -1)
            hidden = hidden + linear(silu(gate) * up, weights[start + "mlp.dense_4h_to_h.weight"])
        rows = normalised(hidden, weights["transformer.encoder.final_layernorm.weight"])
        return linear(rows, weights["transformer.output_layer.weight"])

    def equivalent(self, weights):
        settings = llama_settings(
            attention_bias=True,
            max_position_embeddings=256,
            rope_parameters=rope("default", 10000.0 * self.RATIO, partial_rotary_factor=0.5),
        )
        tensors = {
            "model.embed_tokens.weight": weights["transformer.embedding.word_embeddings.weight"],
            "model.norm.weight": weights["transformer.encoder.final_layernorm.weight"],
            "lm_head.weight": weights["transformer.output_layer.weight"],
        }
        for layer in range(LAYERS):
            theirs, ours = f"{self.LAYER}{layer}.", f"model.layers.{layer}."
            for kind in ["weight", "bias"]:
                packed = weights[theirs + "self_attention.query_key_value." + kind]
                parts = packed.split([HEADS * WIDTH, KEY_HEADS * WIDTH, KEY_HEADS * WIDTH])
                for name, part in zip("qkv", parts):
                    tensors[f"{ours}self_attn.{name}_proj.{kind}"] = part
            tensors |= {
                ours + "self_attn.o_proj.weight": weights[theirs + "self_attention.dense.weight"],
                ours + "mlp.gate_up_proj.weight": weights[theirs + "mlp.dense_h_to_4h.weight"],
                ours + "mlp.down_proj.weight": weights[theirs + "mlp.dense_4h_to_h.weight"],
                ours + "input_layernorm.weight": weights[theirs + "input_layernorm.weight"],
                ours + "post_attention_layernorm.weight": weights[theirs + "post_attention_layernorm.weight"],
            }
        return GlmForCausalLM, GlmConfig(**settings), tensors


class TeleChat:
    """Keys and values of each head lie beside each other; the base grows with the length of the training."""

    config = {
        "architectures": ["TelechatForCausalLM"],
        "model_type": "telechat",
        "base_seqlen": 64,
        "embed_layernorm": False,
        "ffn_hidden_size": INNER,
        "hidden_size": HIDDEN,
        "layer_norm_epsilon": EPSILON,
        "logn": False,
        "n_head": HEADS,
        "n_layer": LAYERS,
        "num_key_value_heads": KEY_HEADS,
        "torch_dtype": "float16",
        "training_seqlen": 256,
        "vocab_size": VOCABULARY,
    }

    def draw(self, weights):
        weights.add("transformer.word_embeddings.weight", VOCABULARY, HIDDEN)
        for start in (f"transformer.h.{layer}." for layer in range(LAYERS)):
            weights.norm(start + "input_layernorm.weight")
            weights.norm(start + "post_attention_layernorm.weight")
            weights.add(start + "self_attention.query.weight", HEADS * WIDTH, HIDDEN)
            weights.add(start + "self_attention.key_value.weight", 2 * KEY_HEADS * WIDTH, HIDDEN)
            weights.add(start + "self_attention.dense.weight", HIDDEN, HEADS * WIDTH)
            weights.add(start + "self_attention.dense.bias", HIDDEN)
            weights.add(start + "mlp.gate_proj.weight", INNER, HIDDEN)
            weights.add(start + "mlp.up_proj.weight", INNER, HIDDEN)
            weights.add(start + "mlp.down_proj.weight", HIDDEN, INNER)
            weights.add(start + "mlp.down_proj.bias", HIDDEN)
        weights.norm("transformer.ln_f.weight")
        weights.add("lm_head.weight", VOCABULARY, HIDDEN)

    def base(self):
        growth = 2 ** math.ceil(math.log2(self.config["training_seqlen"] / self.config["base_seqlen"]) + 1) - 1
        return 10000.0 * max(growth, 1) ** (WIDTH / (WIDTH - 2))

    def logits(self, weights, tokens):
        turn = angles(len(tokens), WIDTH, self.base())
        hidden = weights["transformer.word_embeddings.weight"][tokens]
        for start in (f"transformer.h.{layer}." for layer in range(LAYERS)):
            rows = normalised(hidden, weights[start + "input_layernorm.weight"])
            queries = linear(rows, weights[start + "self_attention.query.weight"]).unflatten(-1, (HEADS, WIDTH))
            both = linear(rows, weights[start + "self_attention.key_value.weight"])
            keys, values = both.unflatten(-1, (KEY_HEADS, 2 * WIDTH)).chunk(2, -1)
            attended = causal_attention(rotated_halves(queries, turn), rotated_halves(keys, turn), values)
            output = start + "self_attention.dense."
            hidden = hidden + linear(attended, weights[output + "weight"], weights[output + "bias"])
            rows = normalised(hidden, weights[start + "post_attention_layernorm.weight"])
            gate = silu(linear(rows, weights[start + "mlp.gate_proj.weight"]))
            inner = gate * linear(rows, weights[start + "mlp.up_proj.weight"])
            down = start + "mlp.down_proj."
            hidden = hidden + linear(inner, weights[down + "weight"], weights[down + "bias"])
        return linear(normalised(hidden, weights["transformer.ln_f.weight"]), weights["lm_head.weight"])

    def equivalent(self, weights):
        settings = llama_settings(
            attention_bias=True, mlp_bias=True, max_position_embeddings=256, rope_parameters=rope("default", self.base())
        )
        tensors = {
            "model.embed_tokens.weight": weights["transformer.word_embeddings.weight"],
            "model.norm.weight": weights["transformer.ln_f.weight"],
            "lm_head.weight": weights["lm_head.weight"],
        }
        for layer in range(LAYERS):
            theirs, ours = f"transformer.h.{layer}.", f"model.layers.{layer}."
            both = weights[theirs + "self_attention.key_value.weight"].view(KEY_HEADS, 2, WIDTH, HIDDEN)
            tensors |= {
                ours + "self_attn.q_proj.weight": weights[theirs + "self_attention.query.weight"],
                ours + "self_attn.k_proj.weight": both[:, 0].reshape(-1, HIDDEN),
                ours + "self_attn.v_proj.weight": both[:, 1].reshape(-1, HIDDEN),
                ours + "self_attn.o_proj.weight": weights[theirs + "self_attention.dense.weight"],
                ours + "self_attn.o_proj.bias": weights[theirs + "self_attention.dense.bias"],
            }
            for name, rows in [("q", HEADS * WIDTH), ("k", KEY_HEADS * WIDTH), ("v", KEY_HEADS * WIDTH)]:
                tensors[f"{ours}self_attn.{name}_proj.bias"] = torch.zeros(rows)
            for name in ["gate", "up"]:
                tensors[f"{ours}mlp.{name}_proj.bias"] = torch.zeros(INNER)
            for name in ["input_layernorm", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]:
                tensors[f"{ours}{name}.weight"] = weights[f"{theirs}{name}.weight"]
            tensors[f"{ours}mlp.down_proj.bias"] = weights[f"{theirs}mlp.down_proj.bias"]
        return LlamaForCausalLM, LlamaConfig(**settings), tensors


def llama_settings(**settings):
    return {
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": WIDTH,
        "rms_norm_eps": EPSILON,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "attn_implementation": "eager",
        **settings,
    }


def loaded(equivalent):
    model_class, config, tensors = equivalent
    model = model_class(config).eval()
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and not [name for name in missing if "inv_freq" not in name], (missing, unexpected)
    return model


FAMILIES = {"internlm2": (InternLm2(), 21), "chatglm": (ChatGlm(), 22), "telechat": (TeleChat(), 23)}


def write(name):
    family, seed = FAMILIES[name]
    generator = torch.Generator().manual_seed(seed)
    weights = Weights(generator)
    family.draw(weights)
    tokens = torch.randint(VOCABULARY, (LENGTH,), generator=generator)
    with torch.no_grad():
        logits = family.logits(weights, tokens)
        same = loaded(family.equivalent(weights))(tokens[None]).logits[0].float()
        difference = (logits - same).abs().max() / same.abs().max()
        assert difference < 1e-5, f"{name}: the two references differ by {difference}"
        # A fresh copy: dynamic rope scaling keeps state between calls.
        continuation = greedy(loaded(family.equivalent(weights)), tokens[:PROMPT].tolist())
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(family.config, indent=2) + "\n")
    save_file({name: values.half() for name, values in weights.tensors.items()}, folder / "model.safetensors")
    save_reference(folder, tokens, logits, continuation)


def main():
    for name in sys.argv[1:] or FAMILIES:
        write(name)


if __name__ == "__main__":
    main()
