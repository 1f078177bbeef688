"""The results as Markdown."""

import collections
import statistics

from measure import BODIES, CONNECTIONS, STREAM, Sample

FLOOR = "nginx"
DIRECT = "direct"
NOTHING = "–"


def _median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def _number(value, digits=0):
    return NOTHING if value is None else f"{value:,.{digits}f}"


def _good(rounds, slug, kind, connections):
    """The samples of every round, None where a window was void or not measured."""
    found = [one.get(slug, {}).get((kind.name, connections)) for one in rounds]
    return [sample if isinstance(sample, Sample) else None for sample in found]


def _field(rounds, slug, kind, connections, name):
    samples = _good(rounds, slug, kind, connections)
    return _median(getattr(sample, name) if sample else None for sample in samples)


def _cpu(rounds, slug, kind, connections):
    """The median and, of several rounds, the least and the most."""
    costs = [sample.cpu for sample in _good(rounds, slug, kind, connections) if sample]
    spread = f" ({_number(min(costs))}–{_number(max(costs))})" if len(costs) > 1 else ""
    return _number(_median(costs)) + spread


def _against(rounds, slug, other, kind, connections, name, combine):
    """Compares with another target of the same round, then takes the median of the rounds."""
    ours, theirs = _good(rounds, slug, kind, connections), _good(rounds, other, kind, connections)
    return _median(
        combine(getattr(our, name), getattr(their, name)) if our and their else None
        for our, their in zip(ours, theirs)
    )


def _table(header, rows):
    head, *lines = ["| " + " | ".join(line) + " |" for line in (header, *rows)]
    return "\n".join([head, "|---|" + "--:|" * (len(header) - 1), *lines])


def _requests(rounds, targets, kind):
    few, many = CONNECTIONS
    rows = []
    for target in targets:
        def field(connections, name, digits=0, slug=target.slug):
            return _number(_field(rounds, slug, kind, connections, name), digits)

        def against(other, connections, name, combine, digits, slug=target.slug):
            return _number(_against(rounds, slug, other, kind, connections, name, combine), digits)

        added = against(DIRECT, few, "p50", lambda ours, theirs: ours - theirs, 0)
        rows.append([
            target.name,
            _cpu(rounds, target.slug, kind, many),
            against(FLOOR, many, "cpu", lambda ours, theirs: ours / theirs, 2),
            field(many, "rate"),
            f"{field(few, 'p50')} / {field(few, 'p99')}",
            NOTHING if target.slug == DIRECT else added,
            f"{field(many, 'p50')} / {field(many, 'p99')}",
        ])
    unit = "stream" if kind.stream else "request"
    header = [
        "target", f"CPU, µs/{unit}", "× nginx", f"{unit}s/s", "c=1 p50 / p99, µs", "p50 added, µs",
        f"c={many} p50 / p99, µs",
    ]
    return _table(header, rows)


def _megabytes(value):
    return _number(value / 1e6, 1)


def _memory(memory, targets):
    rows = []
    for target in targets:
        found = memory.get(target.slug, {})
        sizes = [_megabytes(found[name]) if name in found else NOTHING for name in ("idle", "loaded", "after")]
        each = _number(found["per_stream"] / 1e3, 1) if "per_stream" in found else NOTHING
        rows.append([target.name, *sizes, each])
    return _table(["target", "idle, MB", "loaded, MB", "later, MB", "each open stream, KB"], rows)


def _split(split):
    whole = {
        name: _median(sample.cpu if isinstance(sample, Sample) else None for sample in samples)
        for name, samples in split["samples"].items()
    }
    steps = [
        ("HTTP server, connection, summary line", None, "health", "`GET /healthz`"),
        ("key check, a short answer", "health", "models", "`GET /v1/models`, less that"),
        ("body, routing, proxying, metering, journal", "models", "free", "a free model without limits, less that"),
        ("limits of model and key, the key's monthly cap", "free", "limited", "a free model with limits, less that"),
        ("price, wallet, ledger", "limited", "everything", "the priced model, less that"),
    ]
    rows = []
    for part, less, more, how in steps:
        known = whole[more] is not None and (less is None or whole[less] is not None)
        cost = whole[more] - (whole[less] if less else 0) if known else None
        rows.append([part, _number(cost, 1), how])
    rows.append(["everything", _number(whole["everything"], 1), "the priced model"])
    parts = _table(["part", "CPU, µs/request", "how it was got"], rows)
    names = sorted({name for threads in split["threads"] for name in threads})
    costs = {name: _median(threads.get(name, 0.0) for threads in split["threads"]) for name in names}
    rows = [[f"`{name}`", _number(cost, 1)] for name, cost in costs.items() if cost >= 0.05]
    return f"{parts}\n\n{_table(['thread', 'CPU, µs/request'], rows)}"


def _faults(rounds, memory, targets):
    """Windows that are void and figures that could not be got, with the reasons."""
    lines = []
    for target in targets:
        for number, one in enumerate(rounds, 1):
            cells = collections.defaultdict(list)
            for (kind, connections), result in one.get(target.slug, {}).items():
                if not isinstance(result, Sample):
                    cells[result.reason].append(f"{kind} c={connections}")
            lines += [f"- {target.name}, round {number}, {', '.join(where)}: {why}" for why, where in cells.items()]
        found = memory.get(target.slug, {})
        lines += [f"- {target.name}, {part}: {reason}" for part, reason in found.get("faults", {}).items()]
    return lines


def render(about, rounds, memory, split, targets, missing):
    """The whole report."""
    parts = [about]
    for kind in BODIES:
        parts += [f"**{kind.name} requests**", _requests(rounds, targets, kind)]
    parts += ["**Streams of 50 chunks**", _requests(rounds, targets, STREAM)]
    if memory:
        measured = [target for target in targets if target.slug in memory]
        parts += ["**Memory of the process tree**", _memory(memory, measured)]
    if split:
        parts += ["**Where Silica's CPU time goes** (300 B requests, c=32)", _split(split)]
    faults = [f"- {name}: not measured, {reason}" for name, reason in missing.items()]
    faults += _faults(rounds, memory, targets)
    if faults:
        parts += ["Not measured, and void:", "\n".join(faults)]
    return "\n\n".join(parts) + "\n"


def write_between_markers(path, text):
    """Replaces what stands between the two markers of a file.

    Raises ValueError when it has none.
    """
    begin, end = "<!-- bench-gateway: begin -->", "<!-- bench-gateway: end -->"
    page = path.read_text()
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no markers {begin} and {end}")
    path.write_text(f"{head}{begin}\n{text}{end}{tail}")
