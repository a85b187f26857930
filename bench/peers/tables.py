"""Tables of a results file: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .rows import LABELS, SIDES

Document = dict[str, Any]
Cell = Callable[[dict], str]


def blocks(document: Document) -> list[tuple[str, int]]:
    """The cases with their numbers of threads, in the order in which they were measured."""
    return list(dict.fromkeys((t["case"], t["threads"]) for t in document["times"]))


def entries(document: Document, kind: str, block: tuple[str, int]) -> list[dict]:
    """What a results file says of one case and number of threads."""
    return [e for e in document.get(kind, []) if (e["case"], e["threads"]) == block]


def grid(times: list[dict], cell: Cell) -> tuple[list[str], list[list[str]]]:
    """A header of sides, and a line for each row that some side has."""
    present = {t["side"] for t in times}
    sides = [side for side in SIDES.values() if side in present]
    cells = {(t["row"], t["side"]): cell(t) for t in times}
    rows = [row for row in LABELS.values() if any(r == row and c for (r, _), c in cells.items())]
    return ["", *sides], [[row, *(cells.get((row, side), "") for side in sides)] for row in rows]


def time(entry: dict) -> str:
    return number(entry["median_ms"])


def time_and_spread(entry: dict) -> str:
    """Median, and half of the distance between the quartiles."""
    low, high = entry["quartiles_ms"]
    return f"{number(entry['median_ms'])} ±{50 * (high - low) / entry['median_ms']:.0f}%"


def memory(entry: dict) -> str:
    return number(entry["peak_megabytes"]) if "peak_megabytes" in entry else ""


def error(entry: dict) -> str:
    return f"{entry['relative_error']:.0e}" if "relative_error" in entry else ""


def number(value: float) -> str:
    """Three digits."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def plain(header: list[str], lines: Iterable[list[str]]) -> str:
    """Columns for a terminal: the first to the left, others to the right."""
    rows = [header, *lines]
    widths = [max(len(row[k]) for row in rows) + 2 for k in range(len(header))]
    widths[0] = max(widths[0], 38)

    def line(row: list[str]) -> str:
        cells = [f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True)]
        return f"  {row[0]:{widths[0]}}" + "".join(cells)

    return "\n".join(map(line, rows))


def markdown(header: list[str], lines: Iterable[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def terminal(document: Document, block: tuple[str, int]) -> str:
    """Times with spread, memory and errors of one case."""
    times = entries(document, "times", block)
    case, threads = block
    parts = [
        f"\n{case}, {threads} thread{'s' if threads > 1 else ''}: milliseconds, median of the "
        "rounds ± half their interquartile range; gradients with loss",
        plain(*grid(times, time_and_spread)),
    ]
    for title, cell in (("peak memory in MB", memory), ("relative errors", error)):
        header, lines = grid(times, cell)
        if lines:
            parts += [f"{case}: {title}", plain(header, lines)]
    parts += [f"  skipped: {s['side']}, {s['row']}: {s['why']}"
              for s in entries(document, "skipped", block)]  # fmt: skip
    return "\n".join(parts)


def own(document: Document, block: tuple[str, int]) -> str:
    """Our times of one case beside the floor."""
    floors = {f["row"]: f for f in entries(document, "floors", block)}
    lines = []
    for t in entries(document, "times", block):
        f = floors.get(t["row"])
        least = (
            [f"{f['gflop']:.3g}", number(f["floor_ms"]), f"{f['ours_percent']:.0f} %"]
            if f
            else [""] * 3
        )
        lines.append([t["row"], time_and_spread(t), *least, memory(t)])
    header = ["", "ms", "GFLOP", "floor ms", "of floor", "peak MB"]
    case, threads = block
    return f"\n{case}, {threads} threads\n" + plain(header, lines)


def page(document: Document) -> str:
    """All of a results file as a page of Markdown."""
    machine = f"{document['processor']}, {document['date'][:10]}, {document['commit']}"
    versions = ", ".join(f"{k} {v}" for k, v in document["versions"].items() if v)
    peaks = [
        f"{p['threads']} thread{'s' if p['threads'] > 1 else ''}: "
        f"{p['gflops']:.0f} GFLOP/s and {p['gigabytes_per_second']:.0f} GB/s"
        for p in document.get("peaks", [])
    ]
    parts = ["# Side by side", f"{machine}; {versions}; {'; '.join(peaks)}."]
    for block in blocks(document):
        case, threads = block
        times = entries(document, "times", block)
        parts.append(f"## {case}, {threads} thread{'s' if threads > 1 else ''}")
        parts.append("Milliseconds, and how much of our time is the floor:")
        parts.append(markdown(*_with_floor(document, block)))
        for title, cell in (("Peak memory in MB:", memory), ("Relative errors:", error)):
            header, lines = grid(times, cell)
            parts += [title, markdown(header, lines)] if lines else []
        skipped = entries(document, "skipped", block)
        parts += ["\n".join(f"- skipped: {s['side']}, {s['row']}: {s['why']}" for s in skipped)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _with_floor(document: Document, block: tuple[str, int]) -> tuple[list[str], list[list[str]]]:
    """Times with the fastest in bold, and our percentage of the floor."""
    percent = {f["row"]: f["ours_percent"] for f in entries(document, "floors", block)}
    header, lines = grid(entries(document, "times", block), time)
    for line in lines:
        fastest = min((c for c in line[1:] if c), key=float)
        line[1:] = [f"**{c}**" if c == fastest else c for c in line[1:]]
        share = percent.get(line[0])
        line.append("" if share is None else f"{share:.0f} %")
    return [*header, "of floor"], lines
