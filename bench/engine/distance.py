"""How far logits are from other logits. Runs in the virtual environment, for numpy.

usage: distance.py POSITIONS REFERENCE FILE...
"""

import json
import sys

import numpy as np


def read(path, positions):
    return np.fromfile(path, dtype="<f4").reshape(positions, -1).astype(np.float64)


def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def standard_error(values):
    """Of the mean of values that are taken for independent of each other."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def distance(found, reference):
    """The error at each position as a share of the reference's length there (Euclidean norms): the
    mean and the most of all positions; at how many of them the best token is the same; and the
    Kullback-Leibler divergence of the distribution from the reference's, in nats. Both of the last
    with the standard error of their means."""
    errors = np.linalg.norm(found - reference, axis=1) / np.linalg.norm(reference, axis=1)
    same = (found.argmax(axis=1) == reference.argmax(axis=1)).astype(np.float64)
    true = log_softmax(reference)
    divergence = (np.exp(true) * (true - log_softmax(found))).sum(axis=1)
    return {
        "positions": len(same),
        "mean": float(errors.mean()),
        "most": float(errors.max()),
        "same": float(same.mean()),
        "same_error": standard_error(same),
        "kl": float(divergence.mean()),
        "kl_error": standard_error(divergence),
    }


def main():
    positions = int(sys.argv[1])
    reference = read(sys.argv[2], positions)
    print(json.dumps([distance(read(path, positions), reference) for path in sys.argv[3:]]))


if __name__ == "__main__":
    main()
