#!/usr/bin/env python3
"""Measures Silica as a gateway beside nginx and beside peers; see bench/README.md for the method."""

import argparse
import os
import random
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

import measure
import report
import table
from load import Wrong
from silica import Silica
from targets import VENV, Direct, LiteLlm, Missing, Nginx, VllmRouter, start_mock

EXAMPLES = """\
The machine should do nothing else: a load before the run is told in the report. Examples:
  run.py --write                                        everything, half an hour
  run.py --rounds 3 --seconds 4 --write                 shorter windows, about 25 minutes
  run.py --rounds 3 --seconds 4 --only silica,nginx     without peers, about a quarter of an hour
  run.py --rounds 1 --seconds 2 --only silica,nginx --skip memory,streams,split
                                                        whether it works, two minutes
"""


def say(line):
    """Tells of the progress; the report alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each target takes its turn (3)")
    parser.add_argument("--seconds", type=int, default=6, help="length of a window (6)")
    parser.add_argument("--after", type=int, default=60, help="seconds between load and the last look at memory (60)")
    parser.add_argument("--streams", type=int, default=4000, help="open streams (4000)")
    parser.add_argument("--only", help="of silica, nginx, vllm-router, litellm: the targets, as in silica,nginx (the mock is always measured)")
    parser.add_argument("--skip", default="", help="parts to leave out: memory, streams, split")
    parser.add_argument("--silica", type=Path, help="measure this binary instead of building one")
    parser.add_argument("--mock", type=Path, help="use this mock instead of building one")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the order of the targets")
    parser.add_argument("--write", action="store_true", help="write the tables into bench/README.md")
    return parser.parse_args()


def need(program, package):
    if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        sys.exit(f"bench-gateway: {program} is missing; install it, as in: apt-get install {package}")


def raise_open_files(streams):
    """Every open stream takes two descriptors of the gateway and one each here and in the mock."""
    wanted = 2 * streams + 1000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"bench-gateway: {streams} streams need a limit of {wanted} open files (ulimit -Hn is {hard})")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def build(arguments):
    """The paths of Silica and of the mock, built when they are missing or old."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist"
    if not (arguments.silica and arguments.mock):
        say("building the binaries as they are published (profile dist)")
        packages = ["-p", "silica-server", "--bin", "silica", "-p", "silica-testkit", "--bin", "silica-bench-mock"]
        subprocess.run(["cargo", "build", "--profile", "dist", "--locked", *packages], cwd=ROOT, check=True)
    silica = arguments.silica or target / "silica"
    mock = arguments.mock or target / "silica-bench-mock"
    return silica.resolve(), mock.resolve()


def install_peers():
    """Installs the peers that PyPI has. What fails is told later, by the peer that is not there."""
    requirements = HERE / "requirements.txt"
    done = VENV / ".installed"
    if done.exists() and done.read_text() == requirements.read_text():
        return
    say("installing peers from PyPI")
    try:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        for line in requirements.read_text().splitlines():
            if line and not line.startswith("#"):
                subprocess.run([VENV / "bin" / "pip", "install", "--quiet", line], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"a peer could not be installed: {error}")
        return
    done.write_text(requirements.read_text())


def choose(arguments, silica, mock):
    """The targets that can be measured, with their versions, and those that cannot, with reasons."""
    wanted = arguments.only.split(",") if arguments.only else None
    targets = [Nginx(), Silica(silica), VllmRouter(), LiteLlm()]
    if wanted:
        unknown = set(wanted) - {target.slug for target in targets}
        if unknown:
            sys.exit(f"bench-gateway: unknown targets {', '.join(sorted(unknown))}")
        targets = [target for target in targets if target.slug in wanted]
    if any(isinstance(target, (VllmRouter, LiteLlm)) for target in targets):
        install_peers()
    versions, missing = {}, {}
    for target in targets:
        try:
            versions[target.name] = target.version()
        except Missing as reason:
            missing[target.name] = reason
    return [target for target in targets if target.name in versions], versions, missing


def about(versions, seed):
    """One paragraph: when, where, what."""
    known = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    command = shlex.join(["bench/gateway/run.py", *sys.argv[1:]])
    return f"{report.heading(command)} (order of seed {seed}). Beside Silica: {known}."


class Run:
    """One run, in a temporary folder."""

    def __init__(self, arguments, folder, mock_binary, targets):
        self.arguments = arguments
        self.folder = folder
        self.mock_binary = mock_binary
        self.targets = targets
        self.random = random.Random(arguments.seed)
        self.started = 0

    def place(self, name):
        """A folder for one process."""
        self.started += 1
        return self.folder / f"{self.started}-{name}"

    def shuffled(self, items):
        return self.random.sample(list(items), len(items))

    def rounds(self, port):
        rounds = []
        for number in range(self.arguments.rounds):
            results = {}
            for target in self.shuffled([Direct(self.mock_binary), *self.targets]):
                say(f"round {number + 1}, {target.name}")
                place = self.place(target.slug)
                try:
                    results[target.slug] = measure.windows(target, place, port, self.arguments.seconds, say)
                except (RuntimeError, OSError) as error:
                    cells = [(kind.name, count) for kind in measure.KINDS for count in measure.CONNECTIONS]
                    results[target.slug] = dict.fromkeys(cells, measure.Void(str(error)))
                    say(f"  {error}")
            rounds.append(results)
        return rounds

    def memory(self, port, skip):
        found = {}
        for target in self.targets:
            figures = found[target.slug] = {"faults": {}}
            parts = {
                "memory": lambda target=target: measure.memory(
                    target, self.place(target.slug), port, self.arguments.seconds, self.arguments.after
                ),
                "streams": lambda target=target: measure.open_streams(
                    target, self.place(target.slug), self.mock_binary, self.arguments.streams
                ),
            }
            for name in (part for part in parts if part not in skip):
                say(f"{name}, {target.name}")
                try:
                    figures |= parts[name]()
                except (Wrong, RuntimeError, OSError) as error:
                    what = f"{self.arguments.streams} open streams" if name == "streams" else name
                    figures["faults"][what] = str(error)
            say(f"  {figures}")
        return found

    def split(self, port):
        silica = next((target for target in self.targets if target.slug == "silica"), None)
        if not silica:
            return None
        seconds, rounds = self.arguments.seconds, self.arguments.rounds
        try:
            return measure.split(silica, self.place("split"), port, seconds, rounds, self.shuffled, say)
        except (RuntimeError, OSError) as error:
            say(f"split: {error}")
            return None


def main():
    arguments = parse()
    skip = set(filter(None, arguments.skip.split(",")))
    need("wrk", "wrk")
    need("nginx", "nginx-light")
    raise_open_files(arguments.streams)
    silica, mock_binary = build(arguments)
    targets, versions, missing = choose(arguments, silica, mock_binary)
    heading = about(versions, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="silica-bench-") as name:
        run = Run(arguments, Path(name), mock_binary, targets)
        mock, port = start_mock(mock_binary, run.place("mock"))
        try:
            rounds = run.rounds(port)
            memory = {} if skip >= {"memory", "streams"} else run.memory(port, skip)
            split = None if "split" in skip else run.split(port)
        finally:
            mock.stop()
    shown = [Direct(mock_binary), *targets]
    text = table.render(heading, rounds, memory, split, shown, missing)
    print(text)
    if arguments.write:
        report.write_between_markers("bench-gateway", text)


if __name__ == "__main__":
    main()
