"""A picture of a results file: bars on a logarithmic axis, one panel for each case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hesscore._extras import require
from hesscore.plot._style import INK, styled

from .rows import LABELS, SIDES
from .tables import Document, entries, number

COLOURS = dict(
    zip(
        SIDES.values(),
        ("#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#882255", "#999933", "#117733", "#888888",
         "#56B4E9"),
        strict=True,
    )
)  # fmt: skip
THICK = 0.16  # inches of a bar
ACROSS = 2  # panels
LABEL = {
    **{"textcoords": "offset points", "va": "center", "fontsize": 6.5, "color": INK},
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85},
}


def draw(document: Document, path: Path, cases: list[str] | None = None) -> None:
    """Draw the cases with the first number of threads, the rows that several sides have."""
    threads = document["times"][0]["threads"]
    names = list(dict.fromkeys(t["case"] for t in document["times"] if t["threads"] == threads))
    panels = [(name, _rows(document, (name, threads))) for name in cases or names]
    panels = [(name, rows) for name, rows in panels if rows]
    across = min(ACROSS, len(panels))
    heights = [
        max(_bars(rows) for _, rows in panels[k : k + across]) * THICK + 0.8
        for k in range(0, len(panels), across)
    ]
    figure = require("matplotlib.figure").Figure(
        figsize=(7.2 * across, sum(heights) + 0.5), layout="constrained"
    )
    axes = figure.subplots(len(heights), across, squeeze=False, height_ratios=heights).ravel()
    for ax, (name, rows) in zip(axes, panels, strict=False):
        floors = {f["row"]: f["floor_ms"] for f in entries(document, "floors", (name, threads))}
        _panel(ax, rows, floors)
        ax.set_title(name, loc="left", fontweight="bold", color=INK)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    _legend(figure, {side for _, rows in panels for row in rows for side in rows[row]})
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _rows(document: Document, block: tuple[str, int]) -> dict[str, dict[str, float]]:
    """Row -> side -> milliseconds, in the order of the tables."""
    found: dict[str, dict[str, float]] = {row: {} for row in LABELS.values()}
    for t in entries(document, "times", block):
        found[t["row"]][t["side"]] = t["median_ms"]
    alone = all(len(sides) < 2 for sides in found.values())
    return {row: sides for row, sides in found.items() if len(sides) > (0 if alone else 1)}


def _bars(rows: dict[str, dict[str, float]]) -> int:
    """Heights of all bars, with a gap of one between rows."""
    return sum(len(sides) + 1 for sides in rows.values())


def _panel(ax: Any, rows: dict[str, dict[str, float]], floors: dict[str, float]) -> None:
    styled(ax)
    ax.set_xscale("log")
    y, middles = 0.0, []
    for row, sides in rows.items():
        top = y
        for side in (name for name in SIDES.values() if name in sides):
            ax.barh(y, sides[side], height=0.9, color=COLOURS[side])
            ax.annotate(number(sides[side]), (sides[side], y), (3, 0), **LABEL)
            y += 1
        if row in floors:
            ax.plot([floors[row]] * 2, [top - 0.5, y - 0.5], color="black", linewidth=1.4)
        middles.append((top + y - 1) / 2)
        y += 1
    ax.set_yticks(middles, list(rows), fontsize=8)
    ax.set_ylim(y - 1, -1)
    least = min([*floors.values(), *(ms for sides in rows.values() for ms in sides.values())])
    most = max(ms for sides in rows.values() for ms in sides.values())
    ax.set_xlim(least / 1.6, most * 2)
    ax.xaxis.set_major_formatter(
        require("matplotlib.ticker").FuncFormatter(lambda value, _: f"{value:g}")
    )
    ax.set_xlabel("milliseconds")
    ax.grid(visible=False, axis="y")


def _legend(figure: Any, sides: set[str]) -> None:
    patch, line = require("matplotlib.patches").Patch, require("matplotlib.lines").Line2D
    handles = [patch(color=COLOURS[s], label=s) for s in SIDES.values() if s in sides]
    handles.append(line([], [], color="black", linewidth=1.4, label="floor"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
