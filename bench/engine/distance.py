"""How far logits are from other logits. Runs in the virtual environment, for numpy.

usage: distance.py POSITIONS REFERENCE FILE...
"""

import json
import sys

import numpy as np


def read(path, positions):
    return np.fromfile(path, dtype="<f4").reshape(positions, -1).astype(np.float64)


def distance(found, reference):
    """The error at each position as a share of the reference's length there (Euclidean norms): the
    mean and the most of all positions; and at how many of them the best token is the same."""
    errors = np.linalg.norm(found - reference, axis=1) / np.linalg.norm(reference, axis=1)
    same = found.argmax(axis=1) == reference.argmax(axis=1)
    return {"mean": errors.mean(), "most": errors.max(), "same": float(same.mean())}


def main():
    positions = int(sys.argv[1])
    reference = read(sys.argv[2], positions)
    print(json.dumps([distance(read(path, positions), reference) for path in sys.argv[3:]]))


if __name__ == "__main__":
    main()
