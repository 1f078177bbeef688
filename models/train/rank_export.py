"""Writes the averaged weights of embed.pt and rerank.pt as float16 safetensors, with configs, in the Hugging Face layout."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from rank_train import HERE, SHAPE

LONGEST = SHAPE["max_position_embeddings"]
MODULES = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def config(architecture: str, vocabulary: int) -> dict:
    labels = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}} if architecture.endswith("Classification") else {}
    return {"architectures": [architecture], "model_type": "bert", "vocab_size": vocabulary, "layer_norm_eps": 1e-12,
            "initializer_range": 0.02, "position_embedding_type": "absolute", "classifier_dropout": None, "torch_dtype": "float16",
            **SHAPE, **labels}


def write_sentence_transformers(folder: Path) -> None:
    """The three files that say: the vector is the first token's, with length one."""
    write_json(folder / "modules.json", [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(MODULES)])
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": SHAPE["hidden_size"], "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": LONGEST, "do_lower_case": False})


def export(checkpoint: Path, folder: Path, architecture: str) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    state = torch.load(checkpoint, weights_only=True)
    half = {name: value.to(torch.float16).contiguous() for name, value in state["average"].items()}
    save_file(half, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    write_json(folder / "config.json", config(architecture, tokenizer.get_vocab_size()))
    count = sum(value.numel() for value in half.values())
    print(f"{folder.name}: step {state['step']}, {count:,} parameters, {(folder / 'model.safetensors').stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=HERE.parent, help="where tiny-embed and tiny-rerank lie; written to")
    parser.add_argument("--only", choices=["embed", "rerank"])
    arguments = parser.parse_args()
    if arguments.only != "rerank":
        export(HERE / "embed.pt", arguments.models / "tiny-embed", "BertModel")
        write_sentence_transformers(arguments.models / "tiny-embed")
    if arguments.only != "embed":
        export(HERE / "rerank.pt", arguments.models / "tiny-rerank", "BertForSequenceClassification")


if __name__ == "__main__":
    main()
