"""Writes the averaged weights of a checkpoint as float16 safetensors, with the configs, in the Hugging Face layout."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from model import CONFIG

HERE = Path(__file__).resolve().parent


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint.pt")
    parser.add_argument("--model", type=Path, default=HERE.parent / "tiny-chat", help="folder with tokenizer.json; written to")
    parser.add_argument("--raw", action="store_true", help="take the last weights instead of their running average")
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    state = torch.load(arguments.checkpoint, weights_only=True)
    weights = state["model"] if arguments.raw else state["average"]
    half = {name: value.to(torch.float16).contiguous() for name, value in weights.items()}
    save_file(half, str(arguments.model / "model.safetensors"), metadata={"format": "pt"})
    (arguments.model / "model.safetensors").chmod(0o644)
    end_of_turn, end_of_text = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    config = CONFIG | {"vocab_size": tokenizer.get_vocab_size(), "eos_token_id": end_of_turn, "pad_token_id": end_of_text}
    write_json(arguments.model / "config.json", config)
    write_json(arguments.model / "generation_config.json", {
        "do_sample": True, "eos_token_id": [end_of_turn, end_of_text], "pad_token_id": end_of_text,
        "temperature": 0.7, "top_k": 50, "top_p": 0.7})
    count = sum(value.numel() for value in weights.values())
    print(f"step {state['step']}, {count:,} parameters, {(arguments.model / 'model.safetensors').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
