"""Rounds values to Q4_K and Q6_K, which the package `gguf` only reads.

Plain rounding, without the search for better scales that llama.cpp does: good enough for test
files, whose values only have to be valid blocks near the original ones.
"""

import numpy as np

VALUES = 256


def halves(values: np.ndarray) -> np.ndarray:
    """f16 scales as bytes, one row a block."""
    return values.astype(np.float16).view(np.uint8).reshape(len(values), 2)


def quotient(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.divide(values, scales, out=np.zeros_like(values), where=scales != 0)


def q4_k(values: np.ndarray) -> np.ndarray:
    """Blocks of 144 bytes; value = d * scale * code - dmin * minimum, by sub-blocks of 32."""
    parts = values.reshape(-1, 8, 32).astype(np.float32)
    least = np.minimum(parts.min(axis=2), 0)
    steps = (parts.max(axis=2) - least) / 15
    d = (steps.max(axis=1) / 63).astype(np.float16).astype(np.float32)
    d_min = (-least.min(axis=1) / 63).astype(np.float16).astype(np.float32)
    scale = np.clip(np.rint(quotient(steps, d[:, None])), 0, 63).astype(np.uint8)
    minimum = np.clip(np.rint(quotient(-least, d_min[:, None])), 0, 63).astype(np.uint8)
    shifted = parts + (d_min[:, None] * minimum)[:, :, None]
    codes = np.clip(np.rint(quotient(shifted, (d[:, None] * scale)[:, :, None])), 0, 15)
    codes = codes.astype(np.uint8).reshape(-1, 4, 2, 32)
    packed = np.concatenate(
        [
            scale[:, :4] | (scale[:, 4:] >> 4) << 6,
            minimum[:, :4] | (minimum[:, 4:] >> 4) << 6,
            (scale[:, 4:] & 15) | (minimum[:, 4:] & 15) << 4,
        ],
        axis=1,
    )
    nibbles = (codes[:, :, 0] | codes[:, :, 1] << 4).reshape(-1, 128)
    return np.concatenate([halves(d), halves(d_min), packed, nibbles], axis=1)


def q6_k(values: np.ndarray) -> np.ndarray:
    """Blocks of 210 bytes; value = d * scale * (code - 32), by sub-blocks of 16."""
    parts = values.reshape(-1, 16, 16).astype(np.float32)
    furthest = np.take_along_axis(parts, np.abs(parts).argmax(axis=2)[:, :, None], axis=2)
    steps = furthest[:, :, 0] / -32
    largest = np.take_along_axis(steps, np.abs(steps).argmax(axis=1)[:, None], axis=1)[:, 0]
    d = (largest / -128).astype(np.float16).astype(np.float32)
    scale = np.clip(np.rint(quotient(steps, d[:, None])), -128, 127)
    codes = np.clip(np.rint(quotient(parts, (d[:, None] * scale)[:, :, None])), -32, 31) + 32
    # Halves of 128 values: four runs of 32, whose low bits share bytes by pairs and high bits all.
    codes = codes.astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.stack([codes[:, :, i] & 15 | (codes[:, :, i + 2] & 15) << 4 for i in (0, 1)], axis=2)
    high = sum((codes[:, :, i] >> 4) << (2 * i) for i in range(4)).astype(np.uint8)
    scales = scale.astype(np.int8).view(np.uint8)
    return np.concatenate([low.reshape(-1, 128), high.reshape(-1, 64), scales, halves(d)], axis=1)


def quantize(values: np.ndarray, rounded) -> np.ndarray:
    """`rounded` is one of the above; the last dimension becomes bytes."""
    return rounded(values).reshape(*values.shape[:-1], -1)
