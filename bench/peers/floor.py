"""How fast each row could be: the arithmetic and the memory traffic that its algorithm needs.

Counted are products (a multiply-add is 2 FLOPs) and compulsory traffic: vectors of the length of
the parameters, the batch, and answers; everything else may stay in caches. Activations, losses and
pooling count nothing. With N samples, `in` and `out` numbers at each of a layer's T positions, a
product costs 2 N T in out. Summed over the layers:

    F       forward; as much for all weight gradients
    D       data gradients: F without the first layer, whose input needs none

A row is one phase or several, one after another; each takes at least the longer of its FLOPs at
the machine's peak and its bytes at the bandwidth of a copy. Minimal filtering of convolutions does
with less than is counted, so that it may come out above 100 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from . import nets
from .cases import AnyCase, has_batch_norm, num_params
from .problem import CG_ITERATIONS, LANCZOS_STEPS, PROBES

SIZE = 4  # bytes of a float32


class Peaks(NamedTuple):
    """What the machine can do: FLOPs and bytes per second."""

    flops: float
    bandwidth: float


class Phase(NamedTuple):
    """FLOPs and bytes of work that runs at once."""

    flops: float
    bytes: float


class Product(NamedTuple):
    """The product of one layer."""

    inputs: int
    outputs: int
    positions: int
    is_first: bool


def products(layers: nets.Layers, x: tuple[int, ...], is_first: bool = True) -> list[Product]:
    """List the products of a network whose samples have the shape x."""
    found: list[Product] = []
    for layer in layers:
        kind, *numbers = layer
        after = nets.shape(layer, x)
        if kind == "residual":
            found += [p for part in numbers for p in products(part, x, is_first and not found)]
        elif kind in ("linear", "conv"):
            window = numbers[2] ** 2 if kind == "conv" else 1
            first = is_first and not found
            found.append(Product(numbers[0] * window, numbers[1], math.prod(after[1:]), first))
        x = after
    return found


class Count:
    """The counts of one case, and from them those of every row."""

    def __init__(self, case: AnyCase) -> None:
        self.case, self.params = case, num_params(case)
        self.products = products(case.layers, case.input_shape)
        self.forward = sum(map(self.cost, self.products))
        self.data = sum(self.cost(p) for p in self.products if not p.is_first)

    def cost(self, p: Product) -> float:
        return 2.0 * self.case.batch * p.positions * p.inputs * p.outputs

    def pass_(self, flops: float, vectors: float) -> Phase:
        """A phase that reads the batch, and reads or writes so many vectors."""
        batch = self.case.batch * math.prod(self.case.input_shape)
        return Phase(flops, SIZE * (batch + vectors * self.params))

    def gradient(self, extra: float = 0.0, vectors: float = 2) -> Phase:
        """F + weights F + data D, and w, g."""
        return self.pass_(2 * self.forward + self.data + extra, vectors)

    def diagonal(self, columns: float) -> Phase:
        """A gradient, and squares of weights and inputs: D for each column, and F.

        Squared adjoints of a dense layer are summed over the columns first; where there are several
        positions, products of each column are squared.
        """
        once = sum(self.cost(p) for p in self.products if p.positions == 1)
        deposits = once + columns * (self.forward - once)
        return self.gradient(columns * self.data + deposits, 3)

    def hessian_product(self) -> float:
        """Tangents: W a' + V a, F + D. Their adjoints: data 2 D, weights F + D."""
        return 2 * self.forward + 4 * self.data

    def ggn_product(self) -> float:
        """Tangents F + D, then a backward pass: D + F."""
        return 2 * self.forward + 2 * self.data

    def in_sample_space(self, p: Product) -> float:
        """V a and g a' of a CG iteration, F each; or, without positions, N^2 out multiply-adds."""
        narrow = 2.0 * self.case.batch**2 * p.outputs
        return min(2 * self.cost(p), narrow) if p.positions == 1 else 2 * self.cost(p)

    def conjugate_gradients(self) -> Phase:
        one = sum(map(self.in_sample_space, self.products)) + 2 * self.data
        return self.pass_(self.forward + CG_ITERATIONS * one, 3)

    def kronecker_factors(self) -> Phase:
        """Drawn labels' adjoints D, and half of each symmetric product: N T (in + 1)^2, out^2."""
        rows = [(self.case.batch * p.positions, p) for p in self.products]
        factors = sum(n * ((p.inputs + 1) ** 2 + p.outputs**2) for n, p in rows)
        return self.gradient(self.data + factors)

    def hessian_diagonal(self) -> Phase:
        """For each unit of a layer a tangent up and an adjoint down the layers above it: 2 F.

        In the next layer these are a column of its weights, so that all units together take 2 F. A
        convolution has a sweep for each weight. Rectifiers are piecewise linear: there the
        Gauss-Newton diagonal is the Hessian's.
        """
        if ("relu",) in self.case.layers and not has_batch_norm(self.case.layers):
            return self.diagonal(self.case.classes - 1)
        costs, sweeps = list(map(self.cost, self.products)), 0.0
        for k, p in enumerate(self.products):
            above = costs[k + 1 :]
            if p.positions > 1:
                sweeps += 2 * p.inputs * p.outputs * sum(above)
            else:
                sweeps += 2 * p.outputs * sum(above[1:]) + 2 * sum(above[:1])
        return self.gradient(sweeps + self.forward, 3)

    def update(self, vectors: int = 7) -> Phase:
        """Adam: w, m and v are read and written, the gradient is read."""
        return Phase(12.0 * self.params, SIZE * vectors * self.params)

    def orthogonalised(self) -> Phase:
        """The k-th vector is multiplied with k others, which are taken off: two reads of each."""
        reads = LANCZOS_STEPS * (LANCZOS_STEPS - 1) / 2
        return Phase(4 * reads * self.params, SIZE * 2 * reads * self.params)


def _sample_grads(c: Count) -> tuple[Phase, ...]:
    """A gradient whose weights' part is not summed: N vectors are written."""
    return (c.gradient(0, 1 + c.case.batch),)


def _lanczos(c: Count) -> tuple[Phase, ...]:
    steps = LANCZOS_STEPS * c.hessian_product()
    return (c.pass_(c.forward + c.data + steps, 2), c.orthogonalised())


_ROWS: dict[str, Callable[[Count], tuple[Phase | None, ...]]] = {
    "gradient": lambda c: (c.gradient(),),
    "adam_step": lambda c: (c.gradient(), c.update()),
    "adahesscale_step": lambda c: (c.diagonal(1), c.update(8)),
    "adahessian_step": lambda c: (c.gradient(c.hessian_product(), 3), c.update(8)),
    **dict.fromkeys(("hesscale", "hesscale_gn", "bl89", "ggn_mc"), lambda c: (c.diagonal(1),)),
    "ggn": lambda c: (c.diagonal(c.case.classes - 1),),  # columns of softmax, one less than classes
    "hessian": lambda c: (c.hessian_diagonal(),),
    "hutchinson": lambda c: (c.gradient(c.hessian_product(), 3),),
    "per_sample_grads": _sample_grads,
    "grad_moments": lambda c: (c.gradient(c.forward, 3),),  # products of squares
    "kfac": lambda c: (c.kronecker_factors(),),
    "hvp": lambda c: (c.pass_(c.forward + c.data + c.hessian_product(), 3),),
    "hvp, linearised once": lambda c: (c.pass_(c.hessian_product(), 3),),
    "ggnvp": lambda c: (c.pass_(c.ggn_product(), 3),),
    "ggnvp, linearised anew": lambda c: (c.pass_(c.forward + c.ggn_product(), 3),),
    "cg50": lambda c: (c.conjugate_gradients(),),
    "lanczos": _lanczos,
    # v'Hv: tangents F + D, and V a' of each layer against its adjoint, D
    "probes": lambda c: (
        c.pass_(c.forward + c.data + PROBES * (c.forward + 2 * c.data), 2 + PROBES),
    ),
    "products": lambda c: (c.pass_(PROBES * c.hessian_product(), 1 + 2 * PROBES),),
}


def work(case: AnyCase, row: str) -> tuple[Phase, ...] | None:
    """Tell the phases of a row; None where no count is known."""
    phases = _ROWS[row](Count(case)) if row in _ROWS else (None,)
    found = tuple(p for p in phases if p is not None)
    return found if len(found) == len(phases) else None


def seconds(phases: tuple[Phase, ...], peaks: Peaks) -> float:
    """The least time that phases take."""
    return sum(max(p.flops / peaks.flops, p.bytes / peaks.bandwidth) for p in phases)
