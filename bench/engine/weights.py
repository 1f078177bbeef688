#!/usr/bin/env python3
"""Prints the bytes and the number of weights of GGUF files, of all tensors and of the table of embeddings."""

import json
import sys

import gguf


def weights(path):
    found = {"bytes": 0, "count": 0, "table": 0}
    for tensor in gguf.GGUFReader(path).tensors:
        found["bytes"] += int(tensor.n_bytes)
        found["count"] += int(tensor.n_elements)
        if tensor.name == "token_embd.weight":
            found["table"] = int(tensor.n_elements)
    return found


if __name__ == "__main__":
    print(json.dumps({path: weights(path) for path in sys.argv[1:]}))
