"""What the user of ``hesscore bench`` asks for, checked before anything is measured."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hesscore as hc
from hesscore import errors
from hesscore.errors import OptionError

from . import cases
from .measure import Effort
from .rows import SIDES

GROUPS = ("perceptrons", "convolutional", "all")
QUICK = ("784-128-10", "784-512-256-10", "lenet5", "3c3d")  # perceptrons with rectifiers
ALONE = ("784-512-256-10", "lenet5")


@dataclasses.dataclass(frozen=True)
class Options:
    """As on the command line; see ``hesscore bench --help``."""

    quick: bool = False
    nets: Sequence[str] = ("all",)
    only: Sequence[str] = ()
    threads: Sequence[int] = ()
    rounds: int | None = None
    batch: int | None = None
    save: bool = False
    out: Path | None = None
    torch_python: str = sys.executable
    jax_python: str = sys.executable
    hesscale_path: Path | None = None

    def effort(self) -> Effort:
        usual = Effort(3, 0.03, 3.0, 1.5) if self.quick else Effort()
        return dataclasses.replace(usual, rounds=self.rounds or usual.rounds)

    def thread_counts(self) -> list[int]:
        """All processors up to two, and one; of those that are asked for none may be missing."""
        have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        have = have or 1
        for count in self.threads:
            if not 1 <= count <= have:
                expected = f"whole numbers from 1 to {have}, the processors of this machine"
                raise OptionError.about("threads", expected, count)
        usual = {min(2, have): None} if self.quick else {min(2, have): None, 1: None}
        return list(dict.fromkeys(self.threads)) or list(usual)

    def sides(self) -> dict[str, str]:
        """Side -> interpreter."""
        for name in self.only:
            if name not in SIDES:
                raise errors.unknown("only", name, SIDES)
        chosen = self.only or tuple(s for s in SIDES if s != "hesscale" or self.hesscale_path)
        if "hesscale" in chosen and not self.hesscale_path:
            raise OptionError.about("hesscale-path", "a clone of HesScale for that side", "none")
        others = {"hesscore": sys.executable, "jax": _python("jax-python", self.jax_python)}
        torch = _python("torch-python", self.torch_python)
        return {name: others.get(name, torch) for name in SIDES if name in chosen}

    def package_path(self, side: str) -> str | None:
        """Where the package of a side lies that is not installed."""
        if side != "hesscale" or self.hesscale_path is None:
            return None
        if not (self.hesscale_path / "hesscale" / "__init__.py").is_file():
            expected = "a folder with hesscale/__init__.py, a clone of HesScale"
            raise OptionError.about("hesscale-path", expected, self.hesscale_path)
        return str(self.hesscale_path.resolve())

    def cases(self, once: bool = False) -> list[cases.AnyCase]:
        """The networks, in order; `once`: with one activation each."""
        known = list(dict.fromkeys(case.net for case in cases.everything()))
        for name in self.nets:
            if name not in (*known, *GROUPS):
                raise errors.unknown("nets", name, (*known, *GROUPS))
        found = []
        for group, made in (
            ("perceptrons", cases.perceptrons(self.batch or 128)),
            ("convolutional", cases.convolutional(self.batch)),
        ):
            whole = {"all", group} & set(self.nets)
            found += [case for case in made if whole or case.net in self.nets]
        found = [case for case in found if not self.quick or _is_quick(case, self.nets)]
        return list({case.net: case for case in reversed(found)}.values())[::-1] if once else found


def alone(**given: Any) -> Options:
    """The options for a table of our own times."""
    usual = {"nets": ALONE, "threads": (hc.get_num_threads(),), "rounds": 5}
    return Options(only=("hesscore",), **(usual | given))


def _is_quick(case: cases.AnyCase, nets: Sequence[str]) -> bool:
    """Is it one of the quick ones? What is asked for by name always is."""
    tanh = isinstance(case, cases.Case) and case.activation == "tanh"
    return not tanh and (case.net in QUICK or case.net in nets)


def _python(argument: str, given: str) -> str:
    found = shutil.which(given)
    if found is None:
        raise OptionError.about(argument, "an interpreter", f"{given}, which cannot be run")
    return found
