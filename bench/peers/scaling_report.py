"""Tables, a file and a picture of how times grow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hesscore.seeds.machine import describe

from hesscore._extras import require
from hesscore.plot._style import COLOURS, INK, plain_log, styled

from . import files, scaling
from .command import Say
from .progress import Progress
from .rows import LABELS
from .tables import number, plain

PALETTE, MARKERS = (*COLOURS, "#888888"), "os^vDPXd"


def run(quick: bool, save: bool, out: Path | None, say: Say = print) -> list[dict[str, Any]]:
    """Measure, print tables with exponents; save JSON and a picture if asked to."""
    if save:
        require("matplotlib.figure")
    progress = Progress(say)
    found = scaling.run(quick, progress)
    progress.clear()
    for name in dict.fromkeys(e["series"] for e in found):
        say(table([e for e in found if e["series"] == name]))
    if save:
        about: dict[str, Any] = {**describe("cpu"), "scaling": found}
        folder = out or files.default_folder()
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"scaling-{about['date'][:10]}-{about['commit'] or about['versions']['hesscore']}"
        (folder / f"{stem}.json").write_text(json.dumps(about, indent=1) + "\n")
        draw(found, folder / f"{stem}.png")
        for kind in ("json", "png"):
            say(f"wrote {folder / stem}.{kind}")
    return found


def table(entries: list[dict[str, Any]]) -> str:
    """Milliseconds, and those over a gradient's, by value; exponents of time and memory."""
    name, values = entries[0]["series"], entries[0]["values"]
    header = ["", *map(str, values), "time ~ n^", "memory ~ n^"]

    def power(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    lines = [
        [
            LABELS[e["row"]],
            *(f"{number(t)} ({r:.1f})" for t, r in zip(e["ms"], e["over_gradient"], strict=True)),
            power(e["exponent"]),
            power(e["memory_exponent"]),
        ]
        for e in entries
    ]
    return f"\n{name}: milliseconds (over the gradient's)\n{plain(header, lines)}"


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Times above, memory below; a column for each series."""
    series = list(dict.fromkeys(e["series"] for e in found))
    size = (3.4 * len(series), 7.0)
    figure = require("matplotlib.figure").Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2, len(series), squeeze=False)
    for name, (above, below) in zip(series, axes.T, strict=True):
        entries = [e for e in found if e["series"] == name]
        for ax, what in ((above, "ms"), (below, "megabytes")):
            _panel(ax, entries, what)
        above.set_title(name, color=INK, fontweight="bold")
    axes[0, 0].set_ylabel("milliseconds")
    axes[1, 0].set_ylabel("memory in MB")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _panel(ax: Any, entries: list[dict[str, Any]], what: str) -> None:
    styled(ax)
    ticker = require("matplotlib.ticker")
    for k, e in enumerate(entries):
        ax.plot(e["values"], e[what], color=PALETTE[k], marker=MARKERS[k],
                markersize=4, linewidth=1.2, label=LABELS[e["row"]])  # fmt: skip
    ax.set_xscale("log")
    plain_log(ax)
    ax.set_xticks(entries[0]["values"], map(str, entries[0]["values"]))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
