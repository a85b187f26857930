"""Reproductions of five papers on curvature, run by ``hesscore reproduce``.

Each paper is a module with one function ``run(settings) -> Report``. The folder is installed as
``hesscore.seeds``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence

from .report import Report
from .settings import Settings as Settings

#: Number of a paper -> what is reproduced.
PAPERS = {
    "000": "Temperoni, Dalle Lucca Tosi & Theobald 2023: the Hessian's diagonal inside Adam",
    "001": "Skorski, Temperoni & Theobald 2021: the approximate chain rule for Hessians",
    "002": "Elsayed & Mahmood 2022: HesScale, an approximate diagonal of the Hessian",
    "003": "Wang & Huang 2023: Newton, Hessian-free and Gauss-Newton steps",
    "004": "Arnold & Wang 2017: quasi-Newton from differences of replicas' gradients",
}


def run(names: Sequence[str], settings: Settings) -> list[Report]:
    """Reproduce papers: print their tables and claims, write JSON files and figures."""
    reports = []
    for name in names:
        settings.say(f"\n{name}  {PAPERS[name]}")
        with settings.clock() as clock:
            report = importlib.import_module(f".paper{name}", __name__).run(settings)
        report.seconds = clock.seconds
        load, processors = os.getloadavg()[0], os.cpu_count() or 1
        if load > 1.5 * processors:
            busy = f"the machine was busy (load {load:.0f} on {processors} processors)"
            report.notes.append(f"{busy}: times are noisy")
        report.show(settings.say)
        report.save(name, settings)
        reports.append(report)
    return reports
