"""Writes the parity fixtures of adapters: what the Python library `peft` makes and computes.

Each fixture is an adapter on top of the model of another fixture (`make_fixtures.py`), written by `peft` itself:

    adapter_config.json, adapter_model.safetensors    the adapter
    base.txt                                          the name of the model's fixture
    reference.safetensors
        tokens    i32 [96]          the input
        logits    f32 [96, vocab]   of the model with the adapter, for all positions, computed as one prompt
        prompt    i32 [40]          the beginning of a generation
        greedy    i32 [24]          what greedy decoding with a key-value cache appends to it

The logits are those of the adapter as it is read back from its files. Nothing is written unless the model with the
adapter merged into its weights has the same ones within 1e-5 of the largest, and the model alone quite others.

Run `python make_adapters.py` (versions in requirements.txt) to write all of them, or name some.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from make_fixtures import FIXTURES, LENGTH, PROMPT, VOCABULARY, greedy, save_reference

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# So that what is added is about a third of what is there.
STANDARD_DEVIATION = 0.15

# The model, the seed, and the settings of `LoraConfig`.
ADAPTERS = {
    # A module may have a rank and a factor of its own, by the end of its name; the first pattern that fits counts.
    "qwen3-patterns": (
        "qwen3",
        21,
        {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": ALL,
            "rank_pattern": {"k_proj": 2, "layers.1.mlp.up_proj": 7},
            "alpha_pattern": {"down_proj": 3, "layers.0.mlp.down_proj": 16, "layers.1.self_attn.v_proj": 12},
        },
    ),
    # Factors by the root of the rank, ranks of their own, and some modules of one layer only.
    "llama-rslora": (
        "llama",
        22,
        {
            "r": 8,
            "lora_alpha": 4,
            "use_rslora": True,
            "target_modules": ["q_proj", "v_proj", "down_proj"],
            "layers_to_transform": [1],
            "rank_pattern": {"v_proj": 3},
        },
    ),
}


def load(base):
    model = AutoModelForCausalLM.from_pretrained(FIXTURES / base, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def randomise(model, generator):
    """Draws both matrices: `peft` begins with zeros in one of them."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "lora_" in name:
                parameter.copy_(STANDARD_DEVIATION * torch.randn(parameter.shape, generator=generator))


def logits_of(model, tokens):
    with torch.no_grad():
        return model(tokens[None]).logits[0].float()


def write(name, base, seed, settings):
    generator = torch.Generator().manual_seed(seed)
    made = get_peft_model(load(base), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.1, **settings))
    randomise(made.eval(), generator)
    folder = FIXTURES / "lora" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        made.save_pretrained(place)
        for file in ["adapter_config.json", "adapter_model.safetensors"]:
            shutil.copyfile(Path(place) / file, folder / file)
    # Where the base was is of no concern, and the order of a set is another each time.
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = f"fixtures/{base}"
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "base.txt").write_text(f"{base}\n")

    adapted = PeftModel.from_pretrained(load(base), folder).eval()
    tokens = torch.randint(VOCABULARY, (LENGTH,), generator=generator)
    logits = logits_of(adapted, tokens)
    continuation = greedy(adapted.base_model.model, tokens[:PROMPT].tolist())
    largest = logits.abs().max()
    for other, allowed in [(made, 1e-6), (PeftModel.from_pretrained(load(base), folder).merge_and_unload(), 1e-5)]:
        difference = (logits_of(other, tokens) - logits).abs().max() / largest
        assert difference < allowed, f"{name}: {difference:e}"
    alone = (logits_of(load(base), tokens) - logits).abs().max() / largest
    assert alone > 0.1, f"{name}: only {alone:e} from the model alone"
    save_reference(folder, tokens, logits, continuation)


def main():
    for name in sys.argv[1:] or ADAPTERS:
        write(name, *ADAPTERS[name])


if __name__ == "__main__":
    main()
