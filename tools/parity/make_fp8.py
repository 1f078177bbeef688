"""Writes the parity fixtures of weights in 8-bit floats with a scale for each block (DeepSeek-V3, R1, Qwen3-FP8).

The layout is that of `make_fixtures.py`; `model.safetensors` has the projections as F8_E4M3, and beside each
`NAME_scale_inv`, one number for 128 x 128 values. No size is a multiple of 128 unless it is less, so that
the last blocks of rows and columns are smaller. Blocks differ in size by powers of two, so that a scale of
another block is no small error.

    reference.safetensors also has
        e4m3      f32 [256]         what torch makes of each code (two are NaN)

The reference computes in f32 with the weights that torch widened, value times scale, cut into blocks as in
`weight_dequant` of DeepSeek-V3's own code (inference/kernel.py): counted from the first row and column, with
what is left over in smaller blocks. (`transformers` 5.23 cuts every matrix into blocks of equal size instead
when it widens one, which is the same for multiples of 128 alone, so it is not asked.)

Run `python make_fp8.py` to write all of them, or name some.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging

import make_experts
import make_fixtures
from make_experts import MARGIN, closest_choice, latent, randomise_routers, yarn
from make_fixtures import FIXTURES, LENGTH, PROMPT, VOCABULARY, Fixture, greedy, randomise, rewrite_config, rope, small

BLOCK = 128
LARGEST = 448.0
CLASSES = {**make_fixtures.CLASSES, **make_experts.CLASSES}

# As published: DeepSeek's scales are f32, Qwen's bf16.
SCALES = {"deepseek_v3": torch.float32, "qwen3": torch.bfloat16}

QUANTIZATION = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [BLOCK, BLOCK],
}

FIXTURE_SET = {
    "qwen3-fp8": Fixture(
        "qwen3",
        small(
            hidden_size=136,
            intermediate_size=200,
            head_dim=40,
            num_attention_heads=4,
            tie_word_embeddings=False,
            rope_parameters=rope("default", 1e6),
        ),
        torch.bfloat16,
        seed=800,
    ),
    # A head has 44 rows of `kv_b_proj`, 4 heads 176: the third one lies in two blocks.
    "deepseek-v3-fp8": Fixture(
        "deepseek_v3",
        latent(
            hidden_size=144,
            intermediate_size=136,
            q_lora_rank=132,
            kv_lora_rank=130,
            qk_nope_head_dim=24,
            qk_rope_head_dim=16,
            v_head_dim=20,
            n_shared_experts=1,
            n_routed_experts=8,
            n_group=4,
            topk_group=2,
            routed_scaling_factor=2.5,
            norm_topk_prob=True,
            **yarn(1.0),
        ),
        torch.bfloat16,
        rewrite={"topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1},
        seed=900,
    ),
}


def is_quantised(name):
    return name.endswith("_proj.weight") or name.endswith("kv_a_proj_with_mqa.weight")


def blocks(matrix):
    """Block by block: where it lies, as slices, and its place among the scales."""
    for row in range(0, matrix.shape[0], BLOCK):
        for column in range(0, matrix.shape[1], BLOCK):
            place = slice(row, row + BLOCK), slice(column, column + BLOCK)
            yield place, (row // BLOCK, column // BLOCK)


def quantised(matrix, scale_dtype, generator):
    """Codes and scales of a matrix."""
    codes = torch.empty(matrix.shape, dtype=torch.float8_e4m3fn)
    rows, columns = (-(-size // BLOCK) for size in matrix.shape)
    scales = torch.empty(rows, columns, dtype=scale_dtype)
    for place, index in blocks(matrix):
        factor = 2.0 ** torch.randint(-2, 2, (), generator=generator).item()
        block = matrix[place].float() * factor
        scales[index] = block.abs().max() / LARGEST
        codes[place] = (block / scales[index].float()).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn)
    return codes, scales


def widened(codes, scales):
    matrix = torch.empty(codes.shape, dtype=torch.float32)
    for place, index in blocks(codes):
        matrix[place] = codes[place].float() * scales[index].float()
    return matrix


def attempt(folder, fixture, seed):
    """Writes a fixture; returns what its closest choice of experts was decided by, if there are any."""
    config_class, model_class = CLASSES[fixture.family]
    config = config_class(**fixture.settings, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    model = model_class(config).eval()
    generator = torch.Generator().manual_seed(seed)
    randomise(model, generator, 1.0)
    randomise_routers(model, generator)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(fixture.dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tensors, plain = {}, {}
    for name, tensor in sorted(load_file(folder / "model.safetensors").items()):
        if is_quantised(name):
            codes, scales = quantised(tensor, SCALES[fixture.family], generator)
            tensors[name], tensors[f"{name}_scale_inv"] = codes, scales
            plain[name] = widened(codes, scales)
        else:
            tensors[name], plain[name] = tensor, tensor.float()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    with tempfile.TemporaryDirectory() as place:
        shutil.copy(folder / "config.json", place)
        save_file(plain, Path(place) / "model.safetensors", metadata={"format": "pt"})
        model = model_class.from_pretrained(place, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.randint(VOCABULARY, (LENGTH,), generator=generator)
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].float()
        continuation = greedy(model, tokens[:PROMPT].tolist())
    reference = {
        "tokens": tokens.int(),
        "logits": logits.contiguous(),
        "prompt": tokens[:PROMPT].int().clone(),
        "greedy": continuation.int().contiguous(),
        "e4m3": torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float(),
    }
    save_file(reference, folder / "reference.safetensors")
    rewrite_config(folder / "config.json", {**fixture.rewrite, "quantization_config": QUANTIZATION})
    quantised_share = sum(is_quantised(name) for name in tensors) / len(plain)
    print(f"{folder.name}: largest logit {logits.abs().max():.2f}, {quantised_share:.0%} of the tensors quantised")
    if fixture.family != "deepseek_v3":
        return float("inf")
    return min(
        closest_choice(model, tokens.tolist()),
        closest_choice(model, tokens[:PROMPT].tolist() + continuation.tolist()),
    )


def write(name, fixture):
    folder = FIXTURES / name
    for seed in range(fixture.seed, fixture.seed + 50):
        margin = attempt(folder, fixture, seed)
        if margin >= MARGIN:
            break
    else:
        raise ValueError(f"{name}: no seed has a margin of {MARGIN}")
    size = sum(file.stat().st_size for file in folder.iterdir())
    config = json.loads((folder / "config.json").read_text())
    print(f"{name}: seed {seed}, {size} bytes, closest choice by {margin:.1e}, {config['quantization_config']}")


def main():
    logging.disable_progress_bar()
    for name in sys.argv[1:] or FIXTURE_SET:
        write(name, FIXTURE_SET[name])


if __name__ == "__main__":
    main()
