"""Targets: how long ours may take relative to theirs, and what became of them."""

from __future__ import annotations

import dataclasses

from .cases import BIG, NARROW, SMALL, AnyCase
from .result import Key, Result
from .rows import LABELS, SIDES


@dataclasses.dataclass(frozen=True)
class Target:
    """`ours` takes at most `limit` times as long as `theirs`."""

    net: tuple[int, ...] | str
    ours: str
    theirs: Key
    limit: float


OWN = ("hesscore", "gradient")
JAX = ("jax", "gradient")
MONTE_CARLO = ("backpack", "ggn_mc")
EXACT = ("backpack", "ggn")
TARGETS = [
    Target(BIG, "gradient", ("torch", "gradient"), 0.85),
    Target(BIG, "gradient", JAX, 0.75),
    Target(BIG, "hesscale", OWN, 1.75),
    Target(BIG, "hesscale", MONTE_CARLO, 0.40),
    Target(SMALL, "hesscale", MONTE_CARLO, 0.25),
    Target(SMALL, "hesscale", JAX, 1.00),
    *(
        Target(sizes, row, theirs, limit)
        for sizes in (BIG, SMALL)
        for row, theirs, limit in (
            ("ggnvp", OWN, 1.3),
            ("hvp", OWN, 2.0),
            ("cg50", ("jax", "cg50"), 0.6),
        )
    ),
]
TARGETS += [
    Target("lenet5", "gradient", ("torch", "gradient"), 0.35),
    Target("3c3d", "gradient", ("torch", "gradient"), 0.65),
    Target("resnet18", "gradient", ("torch", "gradient"), 0.95),
    *(Target(net, "hesscale", OWN, 1.75) for net in ("lenet5", "3c3d", "resnet18", "allcnnc")),
    *(Target(net, "hesscale", MONTE_CARLO, 0.35) for net in ("lenet5", "3c3d", "allcnnc")),
    Target("3c3d", "ggn_mc", MONTE_CARLO, 0.60),
    Target("lenet5", "ggn", EXACT, 0.30),
    Target("3c3d", "ggn", EXACT, 0.45),
]
TARGETS += [
    Target(net, ours, theirs, limit)
    for net in (BIG, "3c3d")
    for ours, theirs, limit in (
        ("hvp, linearised once", ("torch", "hvp"), 0.55),
        ("hvp, linearised once", ("jax", "hvp, linearised once"), 0.80),
        ("ggnvp", ("backpack", "ggnvp, linearised anew"), 0.50),
        ("ggnvp", ("backpack", "ggnvp"), 0.55),
        ("ggnvp", ("jax", "ggnvp"), 0.80),
    )
]
TARGETS += [
    Target(net, row, ("backpack", row), limit)
    for net in (BIG, SMALL, "lenet5", "3c3d", "allcnnc")
    for row, limit in (("per_sample_grads", 0.6), ("grad_moments", 0.6), ("kfac", 0.4))
]
TARGETS += [Target(NARROW, "hessian", ("backpack", "hessian"), 0.2)]
TARGETS += [Target(net, "lanczos", ("pyhessian", "lanczos"), 0.4) for net in (BIG, SMALL)]
TARGETS += [Target(net, "probes", ("hesscore", "products"), 0.6) for net in (BIG, "3c3d")]
IMPORT_LIMIT = 0.030  # seconds beyond NumPy


def own_pairs(case: AnyCase) -> list[tuple[str, str]]:
    """Rows of ours that have a target over another row of ours."""
    return [
        (target.ours, target.theirs[1])
        for target in TARGETS
        if target.net == case.group and target.theirs[0] == OWN[0]
    ]


def verdicts(results: list[Result]) -> list[dict]:
    """Every target against what was measured."""
    found = []
    for result in results:
        for target in TARGETS:
            ratio = result.ratio(("hesscore", target.ours), target.theirs)
            if target.net != result.case.group or ratio is None:
                continue
            low, mid, high = (round(float(r), 3) for r in ratio)
            found.append(
                {
                    "case": result.case.name,
                    "threads": result.threads,
                    "ours": LABELS[target.ours],
                    "theirs": f"{SIDES[target.theirs[0]]} {LABELS[target.theirs[1]]}",
                    "ratio": mid,
                    "quartiles": [low, high],
                    "limit": target.limit,
                    "met": mid <= target.limit,
                }
            )
    return found
