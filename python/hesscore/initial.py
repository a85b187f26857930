"""Initial parameters whose measured curvature is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _check
from ._arrays import module_of
from ._evaluations import Train
from .errors import NonFiniteError, OptionError
from .objective import Objective

_LONGEST = 1.0  # change of the logarithm of a scale in one iteration
_HALVINGS = 6
_DIFFERENCE = 0.05  # of the logarithms, over which slopes are measured
_DAMPING = 1e-4


@dataclass(frozen=True)
class TuneReport:
    """How `tune_init` went.

    Attributes
    ----------
    status : {"converged", "stalled", "maxiter"}
        stalled: the forms come no nearer to the target.
    message : str
        The same in words.
    iterations : int
        Changes of the scales.
    forms : dict of str to float
        For each weight the median of ``|g' H g| / |g|^2`` over the draws, at the end.
    scales : dict of str to float
        What each weight was multiplied by.
    """

    status: Literal["converged", "stalled", "maxiter"]
    message: str
    iterations: int
    forms: dict[str, float]
    scales: dict[str, float]


def tune_init(
    f: Objective,
    x: Any,
    y: Any,
    *,
    seed: int = 0,
    scheme: str = "hessian",
    target: float = 1.0,
    draws: int = 8,
    rtol: float = 0.05,
    maxiter: int = 50,
    dtype: Any = "float32",
    train: Train = False,
) -> tuple[Any, TuneReport]:
    """Draw initial parameters and scale each weight so that the curvature of every layer is one.

    Of each weight W (a tensor of two axes or more) the curvature is measured by the quadratic form
    ``|g' H g| / |g|^2``, g the gradient in W and H the block of the Hessian that belongs to W, both
    exact, on one batch. The scales are those for which its median over re-drawn parameters is
    `target` for every W. With a curvature of one a gradient step of length one is right to second
    order, in every layer (Skorski et al. 2021, who choose such deviations by hand).

    A form of one layer depends on the scales of all others: for piecewise linear networks it is
    proportional to the product of their squares. So the logarithms of the scales solve a system
    whose matrix is ``2 (1 1' - I)`` to begin with; Broyden's method corrects it on the way.

    A target may be out of reach, as for activations that are not zero at zero, whose outputs do not
    shrink with the weights before them, or where the softmax saturates before its inputs are large
    enough. Then the forms come as near to it as they do, in the least-squares sense of their
    logarithms, and the status is "stalled".

    Takes `draws` gradients and as many Hessian products with one vector for each weight, for each
    iteration. Deterministic: all iterations see the same draws.

    Parameters
    ----------
    f : Objective
        Of two weights or more.
    x, y
        A batch, as in `Objective.loss`; `x` decides where the parameters live.
    seed : int
        Of the parameters that are returned; the other draws have the seeds after it.
    scheme : str
        What is scaled, as in `Objective.init`.
    target : float
        Wanted value of the forms.
    draws : int
        Parameters over which the median is taken.
    rtol : float
        Largest relative difference of a form from the target.
    maxiter : int
        Largest number of changes of the scales.
    dtype, train
        As in `Objective.init` and `Objective.loss`.

    Returns
    -------
    w : (P,) array
        The best that was found.
    report : TuneReport

    Raises
    ------
    OptionError
        A network of less than two weights, or a bad option.

    References
    ----------
    M. Skorski, A. Temperoni, M. Theobald: Revisiting weight initialization of deep neural
    networks, ACML 2021.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.models.mlp(8, 16, 16, 3), hc.CrossEntropyLoss())
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(64, 8)), rng.integers(0, 3, size=64)
    >>> w, report = hc.tune_init(f, x, y, target=0.1, dtype="float64")
    >>> report.status, all(abs(h - 0.1) < 0.006 for h in report.forms.values())
    ('converged', True)
    """
    names = [name for name, (_, shape) in f.layout.items() if len(shape) >= 2]
    if len(names) < 2:
        expected = "two weights or more: the form of a layer depends on the scales of the others"
        raise OptionError.about("f", expected, names)
    seed, draws = _check.integer("seed", seed, 0), _check.integer("draws", draws, 1)
    maxiter = _check.integer("maxiter", maxiter, 0)
    for name, value in (("target", target), ("rtol", rtol)):
        if not 0 < value < float("inf"):
            raise OptionError.about(name, "a positive number", value)
    xp = module_of(next(iter(x.values())) if isinstance(x, dict) else x)
    starts = [f.init(seed + k, scheme, dtype, xp) for k in range(draws)]
    tuning = _Tuning(f, x, y, train, names, starts, target)
    t, residual, iterations, status = _solve(tuning, float(np.log1p(rtol)), maxiter)
    forms = dict(zip(names, (target * np.exp(residual)).tolist(), strict=True))
    worst = max(forms, key=lambda name: abs(np.log(forms[name] / target)))
    message = f"{status}; farthest from {target:g} is {forms[worst]:.4g} of {worst}"
    scales = dict(zip(names, np.exp(t).tolist(), strict=True))
    return tuning.scaled(starts[0], t), TuneReport(status, message, iterations, forms, scales)


@dataclass(frozen=True)
class _Tuning:
    """The residuals ``log(form / target)`` as a function of the logarithms of the scales."""

    f: Objective
    x: Any
    y: Any
    train: Train
    names: list[str]
    starts: list[Any]
    target: float

    def scaled(self, start: Any, t: NDArray[np.float64]) -> Any:
        w = start.copy()
        views = self.f.views(w)
        for name, value in zip(self.names, np.exp(t).tolist(), strict=True):
            views[name] *= value
        return w

    def residual(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        ratios = [self._ratios(self.scaled(start, t)) for start in self.starts]
        return np.log(np.median(ratios, axis=0) / self.target)

    def _ratios(self, w: Any) -> list[float]:
        """Measure the form of each weight; the smallest number where a gradient vanishes."""
        tiny = np.finfo(np.float64).tiny
        _, g = self.f.value_and_grad(w, self.x, self.y, train=self.train)
        forms = self.f.layer_forms(w, self.x, self.y, g, train=self.train)
        views = self.f.views(g)
        squares = {name: float((views[name].astype("float64") ** 2).sum()) for name in self.names}
        return [max(abs(forms[name]) / max(squares[name], tiny), tiny) for name in self.names]


def _solve(
    tuning: _Tuning, tolerance: float, maxiter: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int, Any]:
    """Solve ``residual(t) = 0`` by Broyden's method with steps that are halved until they help.

    Where none helps, the matrix is measured by differences, with damping: so a solution of least
    squares is found where there is no other.
    """
    size = len(tuning.names)
    matrix = 2 * (np.ones((size, size)) - np.eye(size))
    t, measured = np.zeros(size), False
    r = tuning.residual(t)
    for iteration in range(maxiter):
        if np.abs(r).max() <= tolerance:
            return t, r, iteration, "converged"
        found = _shorten(tuning, t, r, _step(matrix, r))
        if found is None and measured:
            return t, r, iteration, "stalled"
        if found is None:
            columns = [tuning.residual(t + e) - r for e in _DIFFERENCE * np.eye(size)]
            matrix, measured = np.stack(columns, axis=1) / _DIFFERENCE, True
            continue
        step, new = found
        matrix += np.outer(new - r - matrix @ step, step) / (step @ step)
        t, r, measured = t + step, new, False
    return t, r, maxiter, "converged" if np.abs(r).max() <= tolerance else "maxiter"


def _step(matrix: NDArray[np.float64], r: NDArray[np.float64]) -> Any:
    """Return the damped least-squares step, no longer than _LONGEST in any component."""
    normal = matrix.T @ matrix
    damping = _DAMPING * max(float(np.trace(normal)), 1e-300)
    step = -np.linalg.solve(normal + damping * np.eye(len(r)), matrix.T @ r)
    return step * min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-300))


def _shorten(
    tuning: _Tuning, t: NDArray[np.float64], r: NDArray[np.float64], step: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Halve the step until the residual falls; None where it never does."""
    for _ in range(_HALVINGS):
        try:
            new = tuning.residual(t + step)
        except NonFiniteError:
            new = np.full_like(r, np.inf)
        if np.linalg.norm(new) < (1 - 1e-4) * np.linalg.norm(r):
            return step, new
        step = step / 2
    return None
