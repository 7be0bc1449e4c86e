"""The top of the page: what came out, in four numbers, each with where it came from."""

from __future__ import annotations

from paring.report._html import count, milliseconds, name, percent, short_bytes, text, times
from paring.report._model import Report
from paring.report._parts import absent
from paring.report._pieces import Accuracy, Timing
from paring.report._size import headline_bars

#: Stands beside every number that was not measured on the file itself.
SIMULATED = ' <mark class="simulated">simulated</mark>'


def headline(report: Report) -> str:
    """Title, one sentence, bars to scale and the tiles."""
    ratio = times(report.float_bytes / report.bytes) if report.bytes else ""
    tiles = [_size(report), _kept(report)]
    missing = ""
    if report.accuracy and report.accuracy.after is not None:
        tiles.insert(1, _accuracy(report.accuracy))
    else:
        missing = absent(report, "accuracy")
    if report.timings:
        tiles.insert(-1, _latency(report.timings))
    return (
        f'<header><p class="brand">Paring report</p><h1>{name(report.title)}</h1>'
        f'<p class="verdict">{_verdict(report, ratio)}</p>{headline_bars(report)}'
        f'<div class="tiles">{"".join(tiles)}</div>{missing}</header>'
    )


def _verdict(report: Report, ratio: str) -> str:
    size = f"From {short_bytes(report.float_bytes)} to {short_bytes(report.bytes)}, {ratio} smaller"
    accuracy = report.accuracy
    if not accuracy or accuracy.after is None:
        return text(f"{size}.")
    if accuracy.before is None:
        return text(f"{size}, at {percent(accuracy.after)} error on {accuracy.data}.")
    return text(f"{size}; error on {accuracy.data} from {percent(accuracy.before)} to {percent(accuracy.after)}.")


def _tile(title: str, value: str, note: str, source: str) -> str:
    """Arguments are markup."""
    lines = f'<p class="value">{value}</p><p>{note}</p><p class="source">{source}</p>'
    return f'<div class="tile"><h2>{title}</h2>{lines}</div>'


def _size(report: Report) -> str:
    note = f"{count(report.float_bytes)} bytes as 32-bit floats"
    source = f"The length of {name(report.file)}, against 4 bytes for each of {count(report.weights)} parameters."
    return _tile("File", f"{count(report.bytes)} <small>bytes</small>", text(note), source)


def _kept(report: Report) -> str:
    share = report.kept / report.weights if report.weights else 0.0
    note = f"{count(report.kept)} of {count(report.weights)} parameters are not zero"
    return _tile("Weights kept", percent(share, 1), text(note), "Counted in the file.")


def _accuracy(accuracy: Accuracy) -> str:
    assert accuracy.after is not None
    value = percent(accuracy.after) + (SIMULATED if accuracy.simulated else "")
    note = ""
    if accuracy.before is not None:
        points = 100 * (accuracy.after - accuracy.before)
        change = "no change"
        if abs(points) >= 0.005:
            change = f"{abs(points):.2f} points {'worse' if points > 0 else 'better'}"
        note = f"{percent(accuracy.before)} before: {change}"
    source = f"Measured on {count(accuracy.images)} images of {accuracy.data}"
    programs = (("before", accuracy.before_source), ("now", accuracy.after_source))
    ran = [f"{when}: {what}" for when, what in programs if what]
    source += f" ({'; '.join(ran)})." if ran else "."
    if accuracy.agree is not None:
        source += f" Engine and torch give the same class on {count(accuracy.agree)} of {count(accuracy.images)}."
    return _tile("Test error", value, text(note), text(source))


def _latency(timings: tuple[Timing, ...]) -> str:
    ours = next((timing for timing in timings if timing.ours), timings[0])
    others = [timing for timing in timings if timing is not ours and _comparable(timing, ours)]
    longest = max(timing.median for timing in timings)
    note = ""
    if others and ours.ours and ours.median and others[0].median:
        ratio = others[0].median / ours.median
        verdict = f"{times(ratio)} faster" if ratio >= 1 else f"{times(1 / ratio)} slower"
        note = f"{milliseconds(others[0].median, longest)} in {others[0].what}: the engine is {verdict}"
    return _tile(
        "Median latency", milliseconds(ours.median, longest), text(note), text(f"Measured: {conditions(ours)}.")
    )


def _comparable(one: Timing, other: Timing) -> bool:
    """Whether ``one`` had no fewer threads, and all else is equal; a program takes the number that is best for it."""
    return (one.batch, one.machine) == (other.batch, other.machine) and one.threads <= other.threads


def conditions(timing: Timing, what: bool = True) -> str:
    """For example ``engine, batch 1, 1 thread, avx512, 200 runs, NAME of the CPU``; the program only if ``what``."""
    facts = [timing.what if what else "", f"batch {timing.batch}"]
    facts += [f"{timing.threads} thread" + "s" * (timing.threads != 1), timing.isa]
    if timing.runs:
        facts.append(f"{count(timing.runs)} runs")
    return ", ".join(fact for fact in [*facts, timing.machine] if fact)
