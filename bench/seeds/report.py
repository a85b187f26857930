"""What a reproduction found: tables, claims of the paper, checks of the engine, figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hesscore._extras import MissingExtraError, require

from .machine import describe

if TYPE_CHECKING:
    from .settings import Settings

Say = Callable[[str], None]
Numbers = float | Sequence[float]


@dataclass(frozen=True)
class Row:
    """One quantity: ours by seed, the independent reference's, the paper's (None: not given)."""

    name: str
    ours: list[float]
    reference: list[float] | None
    paper: list[float] | None


@dataclass
class Table:
    """Quantities side by side: ours, an independent implementation's, the paper's."""

    title: str
    rows: list[Row] = field(default_factory=list)

    def add(
        self, name: str, ours: Numbers, reference: Numbers | None = None,
        paper: Numbers | None = None,
    ) -> None:  # fmt: skip
        """Add a quantity; several numbers are those of several seeds."""
        self.rows.append(Row(name, _list(ours) or [], _list(reference), _list(paper)))

    def ours(self, name: str) -> float:
        """Return the mean of ours in a row."""
        return float(np.mean(self._row(name).ours))

    def reference(self, name: str) -> float:
        """Return the mean of the reference in a row; NaN where there is none."""
        return float(np.mean(self._row(name).reference or [math.nan]))

    def _row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def lines(self) -> list[str]:
        """Format the table as text."""
        head = (self.title, "ours", "reference", "paper")
        body = [(r.name, *(_text(v) for v in (r.ours, r.reference, r.paper))) for r in self.rows]
        widths = [max(len(line[k]) for line in (head, *body)) for k in range(4)]
        return [
            f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip()
            for a, b, c, d in (head, *body)
        ]


@dataclass(frozen=True)
class Claim:
    """A sentence, whether it holds, and the numbers that say so."""

    text: str
    holds: bool
    because: str


@dataclass
class Report:
    """All that one paper's reproduction found.

    Claims are the paper's and may well not be reproduced; checks are of the engine and must hold.
    Figures are functions that draw into a new `matplotlib.figure.Figure`. Series are curves behind
    the tables, by name, which go into the JSON file.
    """

    title: str
    tables: list[Table] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    checks: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    seconds: float = 0.0

    def table(self, title: str) -> Table:
        """Start a table."""
        self.tables.append(Table(title))
        return self.tables[-1]

    def claim(self, text: str, holds: bool | np.bool_, because: str) -> None:
        """Say whether a sentence of the paper was reproduced."""
        self.claims.append(Claim(text, bool(holds), because))

    def check(self, text: str, holds: bool | np.bool_, because: str) -> None:
        """Say whether the engine does what it must."""
        self.checks.append(Claim(text, bool(holds), because))

    def found(self, text: str) -> bool:
        """Tell whether the claim or check whose text starts like this holds."""
        return next(c.holds for c in self.claims + self.checks if c.text.startswith(text))

    @property
    def sound(self) -> bool:
        """Whether all checks of the engine hold."""
        return all(check.holds for check in self.checks)

    def show(self, say: Say = print) -> None:
        """Print tables, claims and notes."""
        for table in self.tables:
            say("\n" + "\n".join(table.lines()))
        for words, sentences in (
            (("holds", "FAILED"), self.checks),
            (("reproduced", "not reproduced"), self.claims),
        ):
            if sentences:
                say("")
            for c in sentences:
                say(f"{words[0] if c.holds else words[1]}: {c.text} ({c.because})")
        for note in self.notes:
            say(f"note: {note}")
        say(f"{self.seconds:.0f} seconds")

    def save(self, name: str, settings: Settings) -> Path:
        """Write the JSON file and, where Matplotlib is installed, the figures."""
        settings.out.mkdir(parents=True, exist_ok=True)
        stem = f"paper-{name}-{settings.device}{'-quick' if settings.quick else ''}"
        path = settings.out / f"{stem}.json"
        path.write_text(json.dumps(self.record(name, settings), indent=1) + "\n")
        written = [path]
        try:
            for figure, draw in self.figures.items():
                fig = require("matplotlib.figure").Figure(layout="constrained")
                draw(fig)
                written.append(settings.out / f"{stem}-{figure}.png")
                fig.savefig(written[-1], dpi=120)
        except MissingExtraError as error:
            settings.say(f"no figures: {error}")
        settings.say("wrote " + ", ".join(map(str, written)))
        return path

    def record(self, name: str, settings: Settings) -> dict[str, Any]:
        """Return what the JSON file holds."""
        sentences = {
            key: [{"text": c.text, "holds": c.holds, "because": c.because} for c in group]
            for key, group in (("checks", self.checks), ("claims", self.claims))
        }
        tables = [
            {"title": t.title, "rows": [_plain(vars(row)) for row in t.rows]} for t in self.tables
        ]
        return {
            "paper": name,
            "title": self.title,
            "quick": settings.quick,
            **describe(settings.device),
            "seconds": round(self.seconds, 1),
            **sentences,
            "notes": self.notes,
            "tables": tables,
            "series": _plain(self.series),
        }


def _list(numbers: Numbers | None) -> list[float] | None:
    if numbers is None:
        return None
    return [float(v) for v in np.ravel(np.asarray(numbers, dtype=np.float64))]


def _text(numbers: list[float] | None) -> str:
    if not numbers:
        return "-"
    mean = float(np.mean(numbers))
    if len(numbers) == 1 or not math.isfinite(mean):
        return f"{mean:.4g}"
    return f"{mean:.4g} +- {float(np.std(numbers, ddof=1)):.1g}"


def _plain(value: Any) -> Any:
    """Return the value with six digits, for a file: no arrays, and null where not finite."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) or (hasattr(value, "tolist") and getattr(value, "ndim", 0)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1e15 else float(f"{number:.6g}")
