"""What the reports of all benchmarks have in common: where it ran, tables, a place in the page."""

import datetime
import os
import platform
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "bench" / "README.md"
NOTHING = "–"


def output_of(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def commit():
    """The commit that is checked out, and whether files differ from it."""
    name = output_of("git", "rev-parse", "--short", "HEAD")
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no")
    return f"{name} with local changes" if changed else name


def machine():
    """Cores, processor, system, and what else it does."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = models[0].partition(":")[2].strip() if models else platform.machine()
    return (
        f"{os.cpu_count()} cores of an {processor} (Linux {platform.release()}, "
        f"load before the run {os.getloadavg()[0]:.1f})"
    )


def heading(command):
    """When, where, what: the begin of a paragraph. Ask before the run, for the load."""
    return f"Measured on {datetime.date.today()} on {machine()}, commit {commit()}, with `{command}`"


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def number(value, digits=0):
    return NOTHING if value is None else f"{value:,.{digits}f}"


def spread(values, digits=0):
    """The median and, of several values, the least and the most."""
    values = [value for value in values if value is not None]
    if len(values) < 2:
        return number(median(values), digits)
    return f"{number(median(values), digits)} ({number(min(values), digits)}–{number(max(values), digits)})"


def markdown(header, rows):
    """A table whose first column is text and whose other columns are numbers."""
    head, *lines = ["| " + " | ".join(line) + " |" for line in (header, *rows)]
    return "\n".join([head, "|---|" + "--:|" * (len(header) - 1), *lines])


def write_between_markers(name, text, path=PAGE):
    """Replaces what stands between the two markers of a benchmark in a file.

    Raises ValueError when it has none.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = path.read_text()
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no markers {begin} and {end}")
    path.write_text(f"{head}{begin}\n{text}{end}{tail}")
