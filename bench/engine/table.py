"""The results as Markdown."""

from report import NOTHING, markdown, median, number, spread

OURS, THEIRS = "silica", "llama.cpp"
FIGURES = (("prefill", "prefill"), ("decode", "decode"), ("batch", "sequences at once"))


def _figures(rounds, key, name):
    """A figure of one turn in every round, None where the turn is missing or failed."""
    return [(one.get(key) or {}).get(name) for one in rounds]


def _ratios(rounds, ours, theirs, name):
    pairs = zip(_figures(rounds, ours, name), _figures(rounds, theirs, name))
    return [our / their if our and their else None for our, their in pairs]


def _speed(results, threads):
    rows = []
    for name, rounds in results.items():
        ours, theirs = (OURS, threads), (THEIRS, threads)
        row = [f"{name}, {threads} threads" if threads > 1 else f"{name}, 1 thread"]
        for figure, _ in FIGURES:
            ratio = median(_ratios(rounds, ours, theirs, figure))
            row += [
                spread(_figures(rounds, ours, figure), 1),
                spread(_figures(rounds, theirs, figure), 1),
                NOTHING if ratio is None else f"**{ratio:.2f}**",
            ]
        if any(cell != NOTHING for cell in row[1:]):
            rows.append(row)
    return rows


def _memory(results, threads):
    rows = []
    for name, rounds in results.items():
        row = [name]
        for engine in (OURS, THEIRS):
            for figure, digits in (("load_s", 2), ("resident_mb", 0), ("peak_mb", 0)):
                row.append(number(median(_figures(rounds, (engine, threads), figure)), digits))
        rows.append(row)
    return rows


def _prefix(prefix):
    rows = []
    for name, found in prefix.items():
        cold, shared = found["first_token_cold_ms"], found["first_token_shared_ms"]
        gains = [before / after for before, after in zip(cold, shared)]
        cached = number(median(found["cached_tokens"]))
        rows.append([name, spread(cold, 1), spread(shared, 1), f"**{number(median(gains), 1)}**", cached])
    return rows


def _distance(distances):
    rows = []
    for (name, engine), found in distances.items():
        row = [f"{name}, {engine}", f"{found['mean']:.1e}", f"{found['most']:.1e}"]
        row.append(f"{found['same']:.1%} ± {found['same_error']:.1%}")
        row.append(f"{found['kl']:.1e} ± {found['kl_error']:.1e}")
        rows.append(row)
    return rows


def _roofline(settings, results, limits, sizes):
    """What a token needs, what the machine would let through, and how much of that was reached."""
    rows = []
    for threads in settings.threads:
        if threads not in limits:
            continue
        limit = limits[threads]
        for name, rounds in results.items():
            if name not in sizes:
                continue
            size = sizes[name]
            # The head is computed for the last token of a prompt only; it is the table of embeddings here.
            operations = 2 * (size["count"] - size["table"])
            rate = limit["floats"] if name == "F32" else limit["integers"] or limit["floats"]
            tops = (limit["bytes"] * 1e9 / size["bytes"], rate * 1e9 / operations)
            row = [f"{name}, {threads} threads" if threads > 1 else f"{name}, 1 thread"]
            for figure, need, top in (("decode", size["bytes"] / 1e6, tops[0]), ("prefill", operations / 1e6, tops[1])):
                row += [number(need), number(top)]
                for engine in (OURS, THEIRS):
                    reached = median(_figures(rounds, (engine, threads), figure))
                    row.append(NOTHING if reached is None else f"{reached / top:.0%}")
            rows.append(row)
    return rows


def _limits(limits):
    """The measured limits in words."""
    words = []
    for threads, limit in limits.items():
        said = f"{limit['bytes']:.1f} GB/s read from memory, {limit['floats']:,.0f} Gop/s in f32"
        if limit["integers"]:
            said += f", {limit['integers']:,.0f} Gop/s of bytes"
        words.append(f"{said} on {threads} thread{'s' if threads > 1 else ''}")
    return "; ".join(words)


def render(about, settings, results, prefix, distances, roofline, faults):
    """The whole report.

    `results` has for each format what each turn of each round measured, by engine and threads.
    """
    speed_header = ["weights"]
    for _, title in FIGURES:
        speed_header += [f"{title}, Silica", "llama.cpp", "×"]
    speeds = [row for threads in settings.threads for row in _speed(results, threads)]
    parts = [about, f"**Tokens per second** ({settings.words()})", markdown(speed_header, speeds)]
    memory_header = [
        "weights", "Silica: load, s", "loaded, MB", "peak, MB", "llama.cpp: load, s", "loaded, MB", "peak, MB",
    ]
    parts += ["**Load and resident memory**", markdown(memory_header, _memory(results, settings.threads[0]))]
    if prefix:
        header = ["weights", "nothing known, ms", "shared beginning, ms", "times sooner", "tokens taken over"]
        parts += [f"**Time to the first token** ({settings.prefix_words()})", markdown(header, _prefix(prefix))]
    if roofline and roofline[0]:
        limits, sizes = roofline
        header = [
            "weights", "MB a token", "limit, tokens/s", "decode, Silica", "llama.cpp",
            "Mop a token", "limit, tokens/s", "prefill, Silica", "llama.cpp",
        ]
        parts += [
            f"**Beside the machine's limits**: {_limits(limits)} (multiplications and additions count as one operation "
            "each; from registers, of the widest vector instruction). Decoding reads all weights for a token; a prompt's "
            "token needs two operations for each weight but those of the table, and bytes are what quantised weights "
            "are multiplied as",
            markdown(header, _roofline(settings, results, limits, sizes)),
        ]
    if distances:
        header = ["weights, engine", "mean error", "largest error", "same best token", "mean KL divergence, nats"]
        positions = next(iter(distances.values()))["positions"]
        parts += [
            "**Distance of the logits from those of llama.cpp in F32**, with keys and values in F32 and without flash "
            f"attention ({positions} positions of several sequences; errors are Euclidean norms, relative; ± is one "
            "standard error)",
            markdown(header, _distance(distances)),
        ]
    if faults:
        parts += ["Not measured:", "\n".join(f"- {what}: {why}" for what, why in faults.items())]
    return "\n\n".join(parts) + "\n"
