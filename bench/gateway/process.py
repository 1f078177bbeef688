"""What the kernel says of a process and its children: CPU time, resident memory, threads."""

import collections
import os
import re
import time
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(path):
    """The fields of a `stat` file behind the command's name, which may contain blanks."""
    return path.read_text().rpartition(")")[2].split()


def _parents():
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(entry / "stat")[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return parents


def tree(pid):
    """The process and all that descend from it."""
    parents = _parents()
    found, news = set(), {pid} & parents.keys()
    while news:
        found |= news
        news = {child for child, parent in parents.items() if parent in news} - found
    return found


def cpu_seconds(pid):
    """User and system time of the tree so far, with that of its children that have ended."""
    ticks = 0
    for member in tree(pid):
        try:
            ticks += sum(map(int, _stat(Path(f"/proc/{member}/stat"))[11:15]))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return ticks * TICK


def resident_bytes(pid):
    """Resident memory of the tree. Pages that its processes share count once for each."""
    pages = 0
    for member in tree(pid):
        try:
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * PAGE


def cpu_seconds_by_thread(pid):
    """User and system time of the living threads of one process, by name without its number."""
    seconds = collections.Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = re.sub(r"[-_]?\d*$", "", (task / "comm").read_text().strip())
            seconds[name] += sum(map(int, _stat(task / "stat")[11:13])) * TICK
        except (FileNotFoundError, ProcessLookupError):
            continue
    return seconds


def wait_for_rest(pid, limit=30.0):
    """Waits until the tree uses next to no CPU, so that work put off until later is counted too.

    Returns whether it came to rest within `limit` seconds.
    """
    end = time.monotonic() + limit
    before = cpu_seconds(pid)
    while time.monotonic() < end:
        time.sleep(0.5)
        now = cpu_seconds(pid)
        if now - before <= 0.025:
            return True
        before = now
    return False
