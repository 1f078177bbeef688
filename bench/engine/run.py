#!/usr/bin/env python3
"""Measures the embedded engine beside llama.cpp on the same files; see bench/README.md for the method."""

import argparse
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

import models
import report
import table

LLAMA = ROOT / "bench" / "llama-cpp"
# What llama.cpp says it was built for, and the name of the same in /proc/cpuinfo.
FEATURES = {"AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "AVX512": "avx512f"}
# Of each sequence whose logits are compared, and how many sequences.
POSITIONS, SEQUENCES = 64, 8
PARTS = ("default-threads", "prefix", "logits", "roofline")

EXAMPLES = """\
The machine should do nothing else: a load before the run is told in the report. Examples:
  run.py --write                                 everything
  run.py --rounds 1 --only Q8_0 --skip prefix,logits,default-threads
                                                 whether it works
"""


def say(line):
    """Tells of the progress; the report alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each engine takes its turn (5)")
    parser.add_argument("--only", help="formats, of " + ", ".join(models.FORMATS))
    parser.add_argument("--skip", default="", help="parts to leave out: " + ", ".join(PARTS))
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of both (all cores)")
    parser.add_argument("--prompt", type=int, default=256, help="tokens of the prompt (256)")
    parser.add_argument("--decode", type=int, default=32, help="tokens that are generated after the first (32)")
    parser.add_argument("--sequences", type=int, default=8, help="sequences at once (8)")
    parser.add_argument("--prefix", type=int, default=2000, help="shared tokens, for the time to the first one (2000)")
    parser.add_argument("--silica", type=Path, help="measure this binary instead of building one")
    parser.add_argument("--folder", type=Path, help="where the models are kept (target/bench/engine)")
    parser.add_argument("--write", action="store_true", help="write the tables into bench/README.md")
    arguments = parser.parse_args()
    arguments.formats = arguments.only.split(",") if arguments.only else list(models.FORMATS)
    unknown = set(arguments.formats) - set(models.FORMATS)
    if unknown:
        parser.error(f"unknown formats {', '.join(sorted(unknown))}")
    arguments.skip = set(filter(None, arguments.skip.split(",")))
    unknown = arguments.skip - set(PARTS)
    if unknown:
        parser.error(f"unknown parts to skip {', '.join(sorted(unknown))}; they are {', '.join(PARTS)}")
    return arguments


def target():
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()


def build(arguments):
    """The two programs and the command of xtask."""
    if not arguments.silica:
        say("building Silica (profile release)")
        command = ["cargo", "build", "--release", "--locked"]
        subprocess.run([*command, "-p", "silica-server"], cwd=ROOT, check=True)
        subprocess.run([*command, "-p", "silica-engine-candle", "--example", "kernels"], cwd=ROOT, check=True)
    subprocess.run([LLAMA / "install.sh"], check=True)
    say("building llama.cpp; the first time takes a quarter of an hour on two cores")
    # Its own folder, where .cargo/config.toml says for which processor: flags in the environment
    # would replace it.
    environment = {name: value for name, value in os.environ.items() if "RUSTFLAGS" not in name}
    environment["CARGO_TARGET_DIR"] = str(target() / "llama-cpp")
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=LLAMA, env=environment, check=True)
    silica = (arguments.silica or target() / "release" / "silica").resolve()
    xtask = ["cargo", "run", "--quiet", "--release", "--locked", "--package", "xtask", "--"]
    return silica, target() / "llama-cpp" / "release" / "bench-llama-cpp", xtask


def about_llama(binary):
    """llama.cpp's version and processor features, once they are what this processor has."""
    said = subprocess.run([binary, "about"], capture_output=True, text=True, check=True).stdout
    flags = Path("/proc/cpuinfo").read_text().split()
    missing = [name for name, flag in FEATURES.items() if flag in flags and f"{name} = 1" not in said]
    if missing:
        sys.exit(f"bench-engine: llama.cpp was built without {', '.join(missing)}, which this processor has")
    built = [name for name, flag in FEATURES.items() if f"{name} = 1" in said]
    crate = [line for line in (LLAMA / "Cargo.toml").read_text().splitlines() if line.startswith("llama-cpp-2")]
    version = crate[0].split('"')[1]
    return f"{said.splitlines()[0]} (crate llama-cpp-2 {version}, built for this processor: {', '.join(built)})"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured."""

    rounds: int
    threads: list
    prompt: int
    decode: int
    sequences: int
    prefix: int

    def words(self):
        return (
            f"prompt of {self.prompt}, then {self.decode} tokens; {self.sequences} sequences at once, tokens of "
            f"all; medians of {self.rounds} rounds, least and most; × is the median of the rounds' ratios"
        )

    def prefix_words(self):
        return f"{self.prefix} tokens that an earlier prompt began with, and 16 others; default threads"


class Run:
    """Takes the turns and remembers what failed."""

    def __init__(self, silica, llama, settings):
        self.commands = {table.OURS: [silica, "bench", "engine"], table.THEIRS: [llama, "engine"]}
        self.logits_commands = {table.OURS: [silica, "bench", "logits"], table.THEIRS: [llama, "logits"]}
        self.settings = settings
        self.faults = {}

    def _call(self, what, command):
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        except OSError as error:
            self.faults[what] = str(error)
            say(f"  {what}: {error}")
            return None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            self.faults[what] = " ".join(lines)[:300]
            say(f"  {what}: {self.faults[what]}")
            return None
        return done.stdout

    def _turn(self, name, path, engine, threads):
        """One turn of one engine, or None when it failed, which it will again."""
        what = f"{name}, {engine}, {threads} threads"
        if what in self.faults:
            return None
        settings = self.settings
        command = [*self.commands[engine], path, "--threads", threads, "--rounds", 1]
        command += ["--prompt", settings.prompt, "--decode", settings.decode, "--sequences", settings.sequences]
        command += ["--prefix", 0, "--json"] if engine == table.OURS else []
        said = self._call(what, command)
        if said is None:
            return None
        found = json.loads(said)
        for figure, _ in table.FIGURES:
            found[figure] = found[figure][0]
        say(f"  {what}: " + ", ".join(f"{figure} {found[figure]:.1f}" for figure, _ in table.FIGURES))
        return found

    def rounds(self, name, path):
        """The engines in turn, the other way round each time."""
        turns = [(engine, threads) for threads in self.settings.threads for engine in (table.OURS, table.THEIRS)]
        found = []
        for number in range(self.settings.rounds):
            say(f"{name}, round {number + 1}")
            order = turns if number % 2 == 0 else turns[::-1]
            found.append({key: self._turn(name, path, *key) for key in order})
        return found

    def prefix(self, name, path):
        """The time to the first token with and without a shared beginning, of ours alone."""
        say(f"{name}, shared beginning")
        command = [*self.commands[table.OURS], path, "--prompt", 16, "--decode", 2, "--sequences", 1]
        command += ["--rounds", 2, "--prefix", self.settings.prefix, "--json"]
        said = self._call(f"{name}, shared beginning", command)
        return json.loads(said) if said else None

    def roofline(self, kernels, paths, python):
        """The machine's limits by the number of threads, and each file's weights."""
        say("limits of the machine")
        limits = {}
        for threads in self.settings.threads:
            said = self._call(f"limits, {threads} threads", [kernels, threads, "limits"])
            if said:
                limits[threads] = json.loads(said)
        said = self._call("sizes of the weights", [*python, HERE / "weights.py", *paths.values()])
        sizes = json.loads(said) if said else {}
        return limits, {name: sizes[str(path)] for name, path in paths.items() if str(path) in sizes}

    def distances(self, paths, reference, python):
        """How far each engine's logits in each format are from llama.cpp's in F32."""
        with tempfile.TemporaryDirectory(prefix="silica-bench-") as folder:
            folder = Path(folder)
            true = folder / "true"
            if not self._logits(("F32", table.THEIRS), reference, true, "--reference"):
                return {}
            found = {}
            for name, path in paths.items():
                for engine in (table.OURS, table.THEIRS):
                    out = folder / "found"
                    if not self._logits((name, engine), path, out):
                        continue
                    command = [*python, HERE / "distance.py", POSITIONS * SEQUENCES, true, out]
                    said = self._call(f"{name}, {engine}, distance", command)
                    if said:
                        found[name, engine] = json.loads(said)[0]
            return found

    def _logits(self, key, path, out, *more):
        name, engine = key
        say(f"{name}, logits of {engine}")
        command = [*self.logits_commands[engine], path, "--positions", POSITIONS, "--sequences", SEQUENCES]
        command += ["--out", out, *more]
        command += ["--threads", self.settings.threads[0]]
        return self._call(f"{name}, logits of {engine}", command) is not None


def main():
    arguments = parse()
    skip = arguments.skip
    heading = report.heading(shlex.join(["bench/engine/run.py", *sys.argv[1:]]))
    silica, llama, xtask = build(arguments)
    folder = (arguments.folder or target() / "bench" / "engine").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    paths = models.write(folder, arguments.formats, xtask, llama, say)
    default = max(1, (os.cpu_count() or 1) - 1)
    threads = [arguments.threads]
    if "default-threads" not in skip and default not in threads:
        threads.append(default)
    settings = Settings(
        arguments.rounds, threads, arguments.prompt, arguments.decode, arguments.sequences, arguments.prefix
    )
    run = Run(silica, llama, settings)
    results = {name: run.rounds(name, path) for name, path in paths.items()}
    prefix = {}
    if "prefix" not in skip:
        found = {name: run.prefix(name, path) for name, path in paths.items() if name in ("F32", "Q8_0")}
        prefix = {name: times for name, times in found.items() if times}
    distances = {}
    if "logits" not in skip:
        reference = models.write(folder, ["F32"], xtask, llama, say)["F32"]
        distances = run.distances(paths, reference, models.python(folder, say))
    roofline = None
    if "roofline" not in skip:
        kernels = silica.parent / "examples" / "kernels"
        roofline = run.roofline(kernels, paths, models.python(folder, say))
    about = f"{heading}. Beside Silica: {about_llama(llama)}."
    text = table.render(about, settings, results, prefix, distances, roofline, run.faults)
    print(text)
    if arguments.write:
        report.write_between_markers("bench-engine", text)


if __name__ == "__main__":
    main()
