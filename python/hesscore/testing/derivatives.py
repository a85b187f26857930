"""Derivatives of an objective against differences and against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._arrays import module_of
from ..errors import DTypeError, UnsupportedError
from ._differences import Difference, difference
from ._report import Check, DerivativeReport

if TYPE_CHECKING:
    from ..objective import Objective

ALGEBRAIC = 1e-10  # tolerance of identities, which hold up to rounding
_CONVEX = ("CrossEntropyLoss", "MSELoss", "BCEWithLogitsLoss", "PoissonNLLLoss", "HuberLoss")
_EXACT = {"hessian": "hvp", "ggn": "ggnvp", "empirical_fisher": "fishervp"}


def check_derivatives(
    f: Objective,
    w: Any,
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    train: bool | tuple[int, int] = False,
    rtol: float = 1e-6,
    seed: int = 0,
    cast: bool = False,
    raises: bool = False,
) -> DerivativeReport:
    """Check gradient, products and exact diagonals of an objective at one point.

    ================== =========================================================================
    quantity           what is compared
    ================== =========================================================================
    grad               slopes of the loss along three random directions
    hvp                change of the gradient along a random direction
    jvp                change of the network's output
    vjp                ``<u, J v> = <J' u, v>``
    ggnvp              ``J'`` of the change of the loss's gradient in the outputs, along ``J v``
    symmetry           ``u' H v = v' H u``, and the same of G as ggn_symmetry
    ggn_positive       smallest eigenvalue of G in a Krylov space of 8 vectors, over its largest,
                       where the loss is convex in the outputs
    diag_hessian,      some elements of the exact diagonals, up to 32 and one of each tensor at
    diag_ggn, ...      least, with products with unit vectors
    ================== =========================================================================

    Differences are central, of steps from 1e-3 to 1e-8 times the size of `w`, extrapolated; they
    tell how far they can be trusted, and tolerances are never below ten times that. At a kink, as
    where a rectifier's input is 0, there is no derivative: a verdict "kink" says so and where, and
    the parts that have one are compared. About 100 evaluations; a small batch will do, and one of
    many rectified units has too many kinks close by to be compared.

    Parameters
    ----------
    f : Objective
        Or what behaves like one.
    w, x, y, sample_weight, train
        A point in float64, as in `Objective.loss`.
    rtol : float
        Relative tolerance of differences.
    seed : int
        Seed of the directions.
    cast : bool
        Take float32 arguments and work with float64 copies of them.
    raises : bool
        Raise when something fails.

    Returns
    -------
    DerivativeReport
        ``print(report)`` shows a table: quantity, relative error, tolerance, verdict and where the
        largest error is; ``report.ok`` and ``report["grad"]`` are for programs.

    Raises
    ------
    DTypeError
        `w` is not float64 and `cast` is false; differences in float32 tell nothing.
    DerivativeError
        With `raises`; its message is the table.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Sequential(hc.Linear(3, 4), hc.Tanh()), hc.MSELoss())
    >>> w = f.init(dtype="float64")
    >>> report = hc.testing.check_derivatives(f, w, np.ones((2, 3)), np.ones((2, 4)))
    >>> report.ok, report["grad"] < 1e-6
    (True, True)
    >>> print(str(report).splitlines()[0])
    quantity                 error  tolerance  verdict  worst at
    """
    xp = module_of(w)
    w = xp.asarray(w)
    rtol, seed = _check.number("rtol", rtol), _check.integer("seed", seed, 0)
    if cast:
        w, x, y, sample_weight = (_as_float64(a) for a in (w, x, y, sample_weight))
    if w.dtype != np.float64:
        raise DTypeError.about("w", "float64, or cast=True", w.dtype)
    point = _Point(f, (w, x, y), sample_weight, train, rtol, np.random.default_rng(seed))
    report = DerivativeReport(
        [point.gradient(), point.hessian(), *point.jacobian(), *point.gauss_newton()]
        + [point.symmetry("symmetry", "hvp"), point.symmetry("ggn_symmetry", "ggnvp")]
        + [point.positive(), *(point.diagonal(kind) for kind in _EXACT)]
    )
    if raises:
        report.raise_if_failed()
    return report


class _Point:
    """An objective at a point, and the checks of it; arrays are compared on the host."""

    def __init__(
        self, f: Any, point: tuple[Any, Any, Any], sample_weight: Any, train: Any, rtol: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.f, self.rtol, self.rng = f, rtol, rng
        self.w, self.x, self.y = point
        self.xp = module_of(self.w)
        self.kw = {"sample_weight": sample_weight, "train": train}
        self.train = {"train": train}
        size = float(np.sqrt(np.mean(self.host(self.w) ** 2))) if len(self.w) else 0.0
        self.scale = max(size, 0.05)
        self.v = self.direction()

    # ---- the checks ----

    def gradient(self) -> Check:
        directions = np.stack([self.v, self.direction(), self.direction()])
        gradient = self.host(self.f.value_and_grad(self.w, self.x, self.y, **self.kw)[1])

        def losses(t: float) -> Any:
            return np.array([self._loss(t * v) for v in directions])

        check = self._compare("grad", directions @ gradient, difference(losses))
        if check.verdict == "FAIL":
            worst = int(np.argmax(np.abs(directions @ gradient - difference(losses).value)))

            def slope(v: Any) -> float:
                return float(difference(lambda t: np.array([self._loss(t * v)])).value[0])

            check = replace(check, where=self._bisect(slope, gradient, directions[worst]))
        return check

    def hessian(self) -> Check:
        product = self._product("hvp", self.v)

        def gradient(t: float) -> Any:
            return self.host(
                self.f.value_and_grad(self._at(t * self.v), self.x, self.y, **self.kw)[1]
            )

        return self._compare("hvp", product, difference(gradient), self._name)

    def jacobian(self) -> list[Check]:
        forward = self.host(self.f.jvp(self.w, self.x, self.device(self.v), **self.train))

        def outputs(t: float) -> Any:
            return self.host(self.f.predict(self._at(t * self.v), self.x, **self.train))

        jvp = self._compare("jvp", forward, difference(outputs), lambda i: _index("output", i))
        u = self.rng.normal(size=forward.shape)
        backward = self.host(self.f.vjp(self.w, self.x, self.device(u), **self.train))
        left, right = float(np.sum(u * forward)), float(backward @ self.v)
        size = float(np.linalg.norm(backward) * np.linalg.norm(self.v))
        vjp = self._identity("vjp", abs(left - right), size)
        if vjp.verdict == "FAIL":

            def slope(v: Any) -> float:
                return float(np.sum(u * self.host(self.f.jvp(self.w, self.x, v, **self.train))))

            where = self._bisect(lambda v: slope(self.device(v)), backward, self.v)
            vjp = replace(vjp, where=where)
        return [jvp, vjp]

    def gauss_newton(self) -> list[Check]:
        """``G v = J' d/dt grad_z loss(z + t J v)``, with an objective whose parameters are z."""
        from .. import Embedding, Reshape, Sequential
        from ..objective import Objective

        z = self.host(self.f.predict(self.w, self.x, **self.train))
        forward = self.host(self.f.jvp(self.w, self.x, self.device(self.v), **self.train))
        table = Embedding(len(z), max(1, z[0].size))
        net = Sequential(table, Reshape(*z.shape[1:])) if z.ndim > 1 else table
        head = Objective(net, self.f.loss_function, (), self.f.reduction)
        rows = self.xp.asarray(np.arange(len(z)))
        weight = {"sample_weight": self.kw["sample_weight"]}

        def gradient(t: float) -> Any:
            at = self.device((z + t * forward).ravel())
            return self.host(head.value_and_grad(at, rows, self.y, **weight)[1])

        change = difference(gradient)
        if change.kinks.any():
            return [Check("ggnvp", np.nan, np.nan, "skipped", note="the loss has a kink here")]
        seeds = self.device(change.value.reshape(z.shape))
        expected = self.host(self.f.vjp(self.w, self.x, seeds, **self.train))
        relative = change.error / (np.linalg.norm(change.value) or 1.0)
        none = np.zeros(expected.shape, bool)
        trust = Difference(expected, relative * float(np.linalg.norm(expected)), none)
        return [self._compare("ggnvp", self._product("ggnvp", self.v), trust, self._name)]

    def symmetry(self, name: str, product: str) -> Check:
        u = self.direction()
        au, av = self._product(product, u), self._product(product, self.v)
        size = float(np.linalg.norm(u) * np.linalg.norm(av))
        return self._identity(name, abs(float(u @ av - self.v @ au)), size)

    def positive(self) -> Check:
        if type(self.f.loss_function).__name__ not in _CONVEX:
            return Check("ggn_positive", np.nan, np.nan, "skipped", note="the loss is not convex")
        basis, products, u = [], [], self.v
        for _ in range(min(8, len(self.v))):
            for _ in range(2):
                u = u - sum((float(b @ u) * b for b in basis), np.zeros_like(u))
            length = np.linalg.norm(u)
            if length < 1e-12 * self.scale:
                break
            basis.append(u / length)
            products.append(self._product("ggnvp", basis[-1]))
            u = products[-1]
        small = np.array(basis) @ np.array(products).T
        values = np.linalg.eigvalsh((small + small.T) / 2)
        size = float(np.abs(values).max(initial=0.0))
        return self._identity("ggn_positive", max(0.0, -float(values.min(initial=0.0))), size)

    def diagonal(self, kind: str) -> Check:
        from .._evaluations import diag_kinds

        name = f"diag_{kind}"
        if kind not in diag_kinds:
            return Check(name, np.nan, np.nan, "skipped", note="there is no such diagonal")
        try:
            d = self.host(self.f.diag(self.w, self.x, self.y, kind, **self.kw))
        except UnsupportedError as error:
            return Check(name, np.nan, np.nan, "skipped", note=str(error).splitlines()[0])
        some = self._some_elements(d)
        exact = np.empty(len(some))
        for k, i in enumerate(some):
            unit = np.zeros_like(self.v)
            unit[i] = 1.0
            exact[k] = self._product(_EXACT[kind], unit)[i]
        errors = np.abs(d[some] - exact)
        worst = int(np.argmax(errors))
        return self._identity(
            name, float(errors[worst]), float(np.abs(exact).max()), self._name(int(some[worst]))
        )

    # ---- evaluations ----

    def host(self, array: Any) -> Any:
        return np.asarray(array if isinstance(array, np.ndarray) else array.get(), np.float64)

    def device(self, array: Any) -> Any:
        return self.xp.asarray(array)

    def direction(self) -> Any:
        return self.scale * self.rng.normal(size=len(self.w))

    def _at(self, shift: Any) -> Any:
        return self.w + self.device(shift)

    def _loss(self, shift: Any) -> float:
        return self.f.loss(self._at(shift), self.x, self.y, **self.kw)

    def _product(self, name: str, v: Any) -> Any:
        return self.host(getattr(self.f, name)(self.w, self.x, self.y, self.device(v), **self.kw))

    # ---- verdicts ----

    def _compare(
        self, quantity: str, got: Any, expected: Difference, name: Callable[..., str] | None = None
    ) -> Check:
        """Compare an array with a difference, where that is one."""
        kinks = expected.kinks
        errors = np.where(kinks, 0.0, np.abs(got - expected.value))
        size = float(np.linalg.norm(np.where(kinks, 0.0, expected.value))) or 1.0
        error = float(np.linalg.norm(errors)) / size
        trust = 0.0 if kinks.any() else expected.error / size
        tolerance = max(self.rtol, 10 * trust)
        if tolerance > max(self.rtol, 1e-2):
            note = "differences do not settle: kinks close by, or rounding"
            return Check(quantity, np.nan, np.nan, "skipped", note=note)
        where = name(int(np.argmax(errors))) if name else ""
        if not error <= tolerance:
            return Check(quantity, error, tolerance, "FAIL", where)
        if kinks.any():
            note = f"no derivative in {np.count_nonzero(kinks)} of {kinks.size} elements"
            note += f", the first {name(int(np.argmax(kinks)))}" if name else ""
            return Check(quantity, error, tolerance, "kink", where, note)
        return Check(quantity, error, tolerance, "ok", where)

    def _identity(self, quantity: str, error: float, size: float, where: str = "") -> Check:
        error /= size or 1.0
        verdict = "ok" if error <= ALGEBRAIC else "FAIL"
        return Check(quantity, error, ALGEBRAIC, verdict, where)

    def _some_elements(self, d: Any) -> Any:
        """Pick the largest element of each tensor, at most 16 of them, and as many others."""
        chosen = []
        for offset, shape in self.f.layout.values():
            part = np.abs(d[offset : offset + int(np.prod(shape))])
            chosen.append(offset + int(np.argmax(part)))
        chosen = list(self.rng.permutation(chosen)[:16])
        return np.unique(np.r_[chosen, self.rng.integers(0, len(d), size=16)]).astype(int)

    def _bisect(self, slope: Callable[[Any], float], gradient: Any, v: Any) -> str:
        """Find an element of a wrong gradient: the half with the larger error, again and again."""
        low, high = 0, len(v)
        while high - low > 1:
            middle, errors = (low + high) // 2, []
            for part in (slice(low, middle), slice(middle, high)):
                only = np.zeros_like(v)
                only[part] = v[part]
                errors.append(abs(slope(only) - gradient @ only))
            low, high = (low, middle) if errors[0] >= errors[1] else (middle, high)
        return self._name(low)

    def _name(self, flat: int) -> str:
        for name, (offset, shape) in self.f.layout.items():
            if offset <= flat < offset + int(np.prod(shape)):
                return _index(name, np.unravel_index(flat - offset, shape))
        return str(flat)


def _index(name: str, index: Any) -> str:
    parts = index if isinstance(index, tuple) else (index,)
    return f"{name}[{', '.join(str(int(i)) for i in parts)}]"


def _as_float64(array: Any) -> Any:
    if isinstance(array, dict):
        return {name: _as_float64(a) for name, a in array.items()}
    if array is None:
        return None
    array = module_of(array).asarray(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
