"""The files that are measured: a model of random weights as GGUF, in every format."""

import importlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CONVERT = ROOT / "tools" / "gguf"
# Formats that llama.cpp's own quantiser writes out of F32, with its choice for each tensor.
FORMATS = ("F32", "Q8_0", "Q4_0", "Q4_K_M")
SHAPE = "qwen2.5-0.5b"


def write(folder, formats, xtask, llama, say):
    """Writes what is missing; returns the path of each format's file."""
    paths = {name: folder / f"{SHAPE}-{name}.gguf" for name in ("F32", *formats)}
    if not paths["F32"].exists():
        source = folder / SHAPE
        say(f"writing random weights in the shape of {SHAPE}")
        subprocess.run([*xtask, "random-model", "--shape", SHAPE, "--dtype", "f32", "--out", source], check=True)
        say("converting them to GGUF")
        subprocess.run([*python(folder, say), __file__, source, paths["F32"]], check=True)
    for name in formats:
        if not paths[name].exists():
            say(f"quantising to {name}")
            subprocess.run([llama, "quantize", paths["F32"], paths[name], "--type", name], check=True)
    return {name: paths[name] for name in formats}


def python(folder, say):
    """A Python that has what the converter needs, in a virtual environment of the benchmark."""
    place = folder / "venv"
    done = place / ".installed"
    if not done.exists():
        say("installing the Python package gguf")
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        wanted = ("gguf==", "numpy==", "safetensors==")
        lines = (CONVERT / "requirements.txt").read_text().splitlines()
        packages = [line for line in lines if line.startswith(wanted)]
        subprocess.run([place / "bin" / "pip", "install", "--quiet", *packages], check=True)
        done.touch()
    return [place / "bin" / "python"]


def convert(source, target):
    """Writes a GGUF in F32. Runs in the virtual environment."""
    sys.path.insert(0, str(CONVERT))
    module = importlib.import_module("convert")
    own = module.folder_tokenizer(source, None)

    def tokenizer(writer):
        own(writer)
        # The random model's tokenizer merges nothing, and llama.cpp wants at least one merge.
        writer.add_token_merges(["a b"])

    part = target.with_suffix(".part")
    module.write(source, part, module.Type.F32, tokenizer)
    part.rename(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
