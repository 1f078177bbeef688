"""The results as Markdown."""

import collections

from measure import BODIES, CONNECTIONS, STREAM, Sample
from report import NOTHING, markdown, median, number, spread

FLOOR = "nginx"
DIRECT = "direct"


def _good(rounds, slug, kind, connections):
    """The samples of every round, None where a window was void or not measured."""
    found = [one.get(slug, {}).get((kind.name, connections)) for one in rounds]
    return [sample if isinstance(sample, Sample) else None for sample in found]


def _field(rounds, slug, kind, connections, name):
    samples = _good(rounds, slug, kind, connections)
    return median(getattr(sample, name) if sample else None for sample in samples)


def _cpu(rounds, slug, kind, connections):
    return spread([sample.cpu for sample in _good(rounds, slug, kind, connections) if sample])


def _against(rounds, slug, other, kind, connections, name, combine):
    """Compares with another target of the same round, then takes the median of the rounds."""
    ours, theirs = _good(rounds, slug, kind, connections), _good(rounds, other, kind, connections)
    return median(
        combine(getattr(our, name), getattr(their, name)) if our and their else None
        for our, their in zip(ours, theirs)
    )


def _requests(rounds, targets, kind):
    few, many = CONNECTIONS
    rows = []
    for target in targets:
        def field(connections, name, digits=0, slug=target.slug):
            return number(_field(rounds, slug, kind, connections, name), digits)

        def against(other, connections, name, combine, digits, slug=target.slug):
            return number(_against(rounds, slug, other, kind, connections, name, combine), digits)

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
    return markdown(header, rows)


def _megabytes(value):
    return number(value / 1e6, 1)


def _memory(memory, targets):
    rows = []
    for target in targets:
        found = memory.get(target.slug, {})
        sizes = [_megabytes(found[name]) if name in found else NOTHING for name in ("idle", "loaded", "after")]
        each = number(found["per_stream"] / 1e3, 1) if "per_stream" in found else NOTHING
        rows.append([target.name, *sizes, each])
    return markdown(["target", "idle, MB", "loaded, MB", "later, MB", "each open stream, KB"], rows)


def _split(split):
    whole = {
        name: median(sample.cpu if isinstance(sample, Sample) else None for sample in samples)
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
        rows.append([part, number(cost, 1), how])
    rows.append(["everything", number(whole["everything"], 1), "the priced model"])
    parts = markdown(["part", "CPU, µs/request", "how it was got"], rows)
    names = sorted({name for threads in split["threads"] for name in threads})
    costs = {name: median(threads.get(name, 0.0) for threads in split["threads"]) for name in names}
    rows = [[f"`{name}`", number(cost, 1)] for name, cost in costs.items() if cost >= 0.05]
    return f"{parts}\n\n{markdown(['thread', 'CPU, µs/request'], rows)}"


def _faults(rounds, memory, targets):
    """Windows that are void and figures that could not be got, with the reasons."""
    lines = []
    for target in targets:
        for position, one in enumerate(rounds, 1):
            cells = collections.defaultdict(list)
            for (kind, connections), result in one.get(target.slug, {}).items():
                if not isinstance(result, Sample):
                    cells[result.reason].append(f"{kind} c={connections}")
            lines += [f"- {target.name}, round {position}, {', '.join(where)}: {why}" for why, where in cells.items()]
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
