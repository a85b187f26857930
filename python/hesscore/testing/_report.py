"""What `check_derivatives` found, as a table and as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import Error


class DerivativeError(Error, AssertionError):
    """Derivatives do not agree with differences; the message is the table."""


@dataclass(frozen=True)
class Check:
    """One row of the report.

    Attributes
    ----------
    quantity : str
    error, tolerance : float
        Relative; NaN where nothing was compared.
    verdict : str
        "ok", "FAIL", "kink" (the function has no derivative here, or not along this direction;
        what could be compared agrees) or "skipped".
    where : str
        The element with the largest error, of a parameter by name or of the output.
    note : str
    """

    quantity: str
    error: float
    tolerance: float
    verdict: str
    where: str = ""
    note: str = ""


class DerivativeReport(Mapping[str, float]):
    """Verdicts by quantity. As a mapping it gives the error of each quantity that was compared.

    Attributes
    ----------
    checks : tuple of Check
        In order, skipped ones included.
    ok : bool
        Whether nothing failed.
    kinks : tuple of Check
        Quantities met at a point where the function has no derivative.
    """

    def __init__(self, checks: list[Check]) -> None:
        self.checks = tuple(checks)
        self._errors = {c.quantity: c.error for c in checks if c.verdict != "skipped"}

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(c.verdict != "FAIL" for c in self.checks)

    @property
    def kinks(self) -> tuple[Check, ...]:
        """The checks that met a kink."""
        return tuple(c for c in self.checks if c.verdict == "kink")

    def raise_if_failed(self) -> None:
        """Raise DerivativeError, with the table, if something failed."""
        if not self.ok:
            raise DerivativeError(f"derivatives do not agree with differences\n{self}")

    def __getitem__(self, quantity: str) -> float:
        return self._errors[quantity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._errors)

    def __len__(self) -> int:
        return len(self._errors)

    def __str__(self) -> str:
        rows = [("quantity", "error", "tolerance", "verdict", "worst at")]
        for c in self.checks:
            skipped = c.verdict == "skipped"
            error, tolerance = ("", "") if skipped else (f"{c.error:.1e}", f"{c.tolerance:.1e}")
            remark = "; ".join(filter(None, (c.where, c.note)))
            rows.append((c.quantity, error, tolerance, c.verdict, remark))
        width = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            f"{a:<{width[0]}}  {b:>{width[1]}}  {c:>{width[2]}}  {d:<{width[3]}}  {e}".rstrip()
            for a, b, c, d, e in rows
        )

    def __repr__(self) -> str:
        return f"<DerivativeReport: {'ok' if self.ok else 'FAIL'}>\n{self}"
