"""Writes the parity fixtures of the embedded text engine.

Each fixture is a tiny model with random weights in the layout of a Hugging Face folder, together
with what the reference implementation (the Python library `transformers`) computes for it:

    config.json, model.safetensors (or shards with an index)    the model
    reference.safetensors
        tokens    i32 [96]          the input
        logits    f32 [96, vocab]   for all positions, computed as one prompt
        prompt    i32 [40]          the beginning of a generation
        greedy    i32 [24]          what greedy decoding with a key-value cache appends to it

Run `python make_fixtures.py` (versions in requirements.txt) to write all of them, or name some.
The weights are drawn from a fixed seed, so a second run writes the same files.
"""

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FIXTURES = Path(__file__).resolve().parents[2] / "crates/engine-candle/tests/fixtures"
VOCABULARY = 144
LENGTH = 96
PROMPT = 40
GENERATED = 24

# Larger than in real models, so that logits differ enough for greedy decoding to be a test, and
# attention is far from uniform.
STANDARD_DEVIATION = 0.35

CLASSES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "glm": (GlmConfig, GlmForCausalLM),
    "glm4": (Glm4Config, Glm4ForCausalLM),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM),
}


@dataclass
class Fixture:
    """One model; `settings` go into its configuration."""

    family: str
    settings: dict
    dtype: torch.dtype = torch.float32
    shards: bool = False
    # Changes to config.json after it was saved, to test other spellings of the same settings.
    rewrite: dict = field(default_factory=dict)
    seed: int = 1


def small(**settings):
    """The shape of most fixtures: grouped-query attention in two layers."""
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
    }
    return {**shape, **settings}


def wide(**settings):
    """Rows that are multiples of 32 values, so that they can be quantised, and heads of a width of their own."""
    shape = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
    return small(**{**shape, **settings})


def rope(kind, theta=10000.0, **settings):
    return {"rope_type": kind, "rope_theta": theta, **settings}


FIXTURE_SET = {
    "qwen2": Fixture("qwen2", small(rope_parameters=rope("default", 1e6))),
    # The border where scaling begins is at 32 of 96 positions.
    "qwen2-yarn": Fixture(
        "qwen2",
        small(
            max_position_embeddings=128,
            rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32),
        ),
        seed=2,
    ),
    "qwen2-yarn-mscale": Fixture(
        "qwen2",
        small(
            max_position_embeddings=128,
            rope_parameters=rope(
                "yarn",
                factor=4.0,
                original_max_position_embeddings=32,
                beta_fast=16.0,
                beta_slow=2.0,
                mscale=1.5,
                mscale_all_dim=0.5,
                truncate=False,
            ),
        ),
        seed=3,
    ),
    "qwen2-window": Fixture(
        "qwen2",
        small(
            use_sliding_window=True,
            sliding_window=12,
            max_window_layers=1,
            rope_parameters=rope("default"),
        ),
        seed=4,
    ),
    "qwen3": Fixture(
        "qwen3",
        small(head_dim=16, num_attention_heads=4, tie_word_embeddings=True, rope_parameters=rope("default", 1e6)),
        seed=5,
    ),
    "llama": Fixture(
        "llama",
        small(rope_parameters=rope("default"), attention_bias=True, mlp_bias=True),
        seed=6,
    ),
    "llama-llama3": Fixture(
        "llama",
        small(
            head_dim=16,
            num_attention_heads=4,
            rope_parameters=rope(
                "llama3",
                500000.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            ),
        ),
        seed=7,
    ),
    # Spelled as in older files: `rope_scaling` with `type`, and `rope_theta` beside it.
    "llama-linear": Fixture(
        "llama",
        small(max_position_embeddings=32, rope_parameters=rope("linear", factor=4.0)),
        rewrite={"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 10000.0},
        seed=8,
    ),
    "llama-dynamic": Fixture(
        "llama",
        small(max_position_embeddings=32, rope_parameters=rope("dynamic", factor=4.0)),
        rewrite={"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 4.0}, "rope_theta": 10000.0},
        seed=9,
    ),
    "llama-sharded-bf16": Fixture(
        "llama", small(rope_parameters=rope("default")), dtype=torch.bfloat16, shards=True, seed=10
    ),
    "mistral": Fixture(
        "mistral", wide(sliding_window=12, rope_parameters=rope("default")), dtype=torch.float16, seed=12
    ),
    "glm": Fixture(
        "glm",
        wide(attention_bias=True, rope_parameters=rope("default", partial_rotary_factor=0.5)),
        # The library's own default lies outside the vocabulary.
        rewrite={"pad_token_id": 0},
        dtype=torch.float16,
        seed=13,
    ),
    "glm4": Fixture(
        "glm4",
        wide(attention_bias=False, rope_parameters=rope("default", partial_rotary_factor=0.5)),
        rewrite={"pad_token_id": 0},
        dtype=torch.float16,
        seed=14,
    ),
    # Caps that most logits come near; layers see in turn a window and all, as they do where nothing is said.
    "gemma2": Fixture(
        "gemma2",
        wide(
            num_hidden_layers=3,
            sliding_window=12,
            query_pre_attn_scalar=24,
            attn_logit_softcapping=4.0,
            final_logit_softcapping=1.5,
            rope_parameters=rope("default"),
        ),
        rewrite={"layer_types": None},
        dtype=torch.float16,
        seed=15,
    ),
    "qwen2-f16": Fixture("qwen2", small(rope_parameters=rope("default")), dtype=torch.float16, seed=11),
}


def randomise(model, generator, around):
    """Draws all weights: matrices around 0, norms around the given number (0 for Gemma's)."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            if around == 0.0 and "embed_tokens" in name:
                # The model multiplies them by the root of its width; they are the head, too.
                parameter.copy_(STANDARD_DEVIATION / parameter.shape[1] ** 0.5 * values)
            elif "norm" in name:
                parameter.copy_(around + 0.2 * values)
            else:
                parameter.copy_(STANDARD_DEVIATION * values)


def greedy(model, prompt):
    """Decodes with a key-value cache, as a server does; no token ends the answer."""
    model.generation_config.eos_token_id = None
    output = model.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=GENERATED, min_new_tokens=GENERATED, use_cache=True
    )
    return output[0, len(prompt) :]


def write(name, fixture):
    config_class, model_class = CLASSES[fixture.family]
    config = config_class(**fixture.settings, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    generator = torch.Generator().manual_seed(fixture.seed)
    # A norm of Gemma multiplies by one plus its weight.
    randomise(model, generator, 0.0 if fixture.family == "gemma2" else 1.0)
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(fixture.dtype).save_pretrained(folder, max_shard_size="60KB" if fixture.shards else "5GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    rewrite_config(folder / "config.json", fixture.rewrite)

    # The reference computes in f32 with the weights as they were rounded for the file.
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.randint(VOCABULARY, (LENGTH,), generator=generator)
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].float()
        # A fresh copy: dynamic rope scaling keeps state between calls.
        fresh = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        continuation = greedy(fresh, tokens[:PROMPT].tolist())
    save_reference(folder, tokens, logits, continuation)


def save_reference(folder, tokens, logits, continuation):
    reference = {
        "tokens": tokens.int(),
        "logits": logits.contiguous(),
        "prompt": tokens[:PROMPT].int().clone(),
        "greedy": continuation.int().contiguous(),
    }
    save_file(reference, folder / "reference.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder.name}: {size} bytes, largest logit {logits.abs().max():.2f}, greedy {continuation[:6].tolist()}...")


def rewrite_config(path, changes):
    config = json.loads(path.read_text())
    config.update(changes)
    config = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(config, indent=2) + "\n")


def main():
    for name in sys.argv[1:] or FIXTURE_SET:
        write(name, FIXTURE_SET[name])


if __name__ == "__main__":
    main()
