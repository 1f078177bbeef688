"""Writes the fixture of the quantised blocks: what the Python package `gguf` makes of some values.

One safetensors file, `crates/engine-candle/tests/fixtures/gguf/blocks.safetensors`. For each format
NAME whose rounding the package defines:

    values               a row of f32, among them zeros, tiny and large ones
    NAME.rounded         the bytes that `gguf.quantize` makes of them
    NAME.widened         the values that `gguf.dequantize` makes of those bytes

and for Q4_K and Q6_K, which the package only reads, random blocks in NAME.rounded.
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

FIXTURE = (
    Path(__file__).resolve().parents[2] / "crates/engine-candle/tests/fixtures/gguf/blocks.safetensors"
)
ROWS, COLUMNS = 1, 256


def values(random: np.random.Generator) -> np.ndarray:
    rows = random.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    rows[0, :32] = 0
    rows[0, 32:64] *= 1e-30
    rows[0, 64:96] *= 1e4
    rows[0, 96:128] = np.linspace(-8, 7.5, 32)
    rows[0, 128:160] = 1
    rows[0, 160:192] = -1
    return rows


def random_blocks(random: np.random.Generator, type: Type) -> np.ndarray:
    """Any bytes are a block but for its scales, which must be finite."""
    _, size = gguf.GGML_QUANT_SIZES[type]
    blocks = random.integers(0, 256, size=(ROWS, size), dtype=np.uint8)
    scales = random.normal(size=(ROWS, 2)).astype(np.float16).view(np.uint8)
    if type == Type.Q4_K:
        blocks[:, :4] = scales
    else:
        blocks[:, -2:] = scales[:, :2]
    return blocks


def main() -> None:
    random = np.random.default_rng(20261129)
    tensors = {"values": values(random)}
    for type in [Type.F16, Type.BF16, Type.Q4_0, Type.Q5_0, Type.Q8_0, Type.Q4_K, Type.Q6_K]:
        if type in (Type.Q4_K, Type.Q6_K):
            rounded = random_blocks(random, type)
        else:
            rounded = gguf.quantize(tensors["values"], type).view(np.uint8)
        tensors[f"{type.name}.rounded"] = rounded
        tensors[f"{type.name}.widened"] = gguf.dequantize(rounded, type).astype(np.float32)
    save_file(tensors, FIXTURE)


if __name__ == "__main__":
    main()
