"""Optimizers: one small class over the engine's methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _check, _core, errors
from ._progress import Progress
from .errors import OptionError, StateError
from .objective import Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

StepInfo = _core.StepInfo

#: method -> {option: default}
methods: dict[str, dict[str, Any]] = _core.method_table()


class Optimizer:
    """Minimises an objective by steps that update `w` in place.

    A step is one call into the engine and is taken in training mode. A step that fails, is rejected
    or interrupted leaves `w` and the state as they were.

    ================== ============================================================================
    method             options (any rate may be a function of the step number, counted from 0)
    ================== ============================================================================
    sgd                lr, momentum, nesterov, weight_decay
    adam, adamw        lr, beta1, beta2, eps, weight_decay (Kingma & Ba 2015; decoupled in adamw)
    adahessian         the same, power, samples, seed: Adam on a Hutchinson diagonal (Yao et al.
                       2021)
    adahesscale,       the same, power, moment ("square" or "abs"), delta, max_scale: Adam on the
    adahesscale_gn     HesScale diagonal (Elsayed & Mahmood 2022); with delta > 0 each step s is
                       scaled by min(max_scale, sqrt(2 delta / sum h s^2)), h = sqrt(u), u the
                       second moment (Elsayed et al. 2024)
    bl89               the same on the diagonal of Becker & LeCun 1989
    chainrule_adam     lr, beta1, beta2, eps, weight_decay, diag ("ggn", "ggn_mc", "hesscale" or
                       "hutchinson"), bias_correction ("standard"; "frozen": that of the first
                       step for ever), seed: Adam with d^2 for g^2, d a curvature diagonal
    sophia_g,          lr, beta1, beta2, eps, weight_decay (decoupled), gamma, interval, seed: steps
    sophia_h           clip(m / max(gamma h, eps), -1, 1), h the mean of a diagonal that is drawn in
                       every interval-th step (Liu et al. 2023): g, Gauss-Newton from labels drawn
                       for each sample; h, Hutchinson's
    gauss_newton       lr, damping, damping_rule ("lm" or "constant"), cg_iterations, cg_rtol,
                       martens_stop, warm_start, preconditioner ("none", "hesscale",
                       "empirical_fisher"), line_search (False: each step at lr as it is): CG on
                       the damped Gauss-Newton matrix (Martens 2010).
                       ``damping="lm"`` or ``"constant"`` names the rule and keeps the default value
    hessian_free       the same, product ("hessian" or "ggn"): CG ends at negative curvature
    trust_region       radius, max_radius, solver ("gltr" or "steihaug"), product, iterations, rtol:
                       the quadratic model's minimum within a radius that adapts
    newton             lr, damping, indefinite ("absolute", "truncated" or "plain": what becomes of
                       eigenvalues that are not positive): the dense Hessian, at most 20000
                       parameters
    lbfgs              lr (first step length tried), history, c1, c2, max_evaluations: with a line
                       search for the strong Wolfe conditions, for batches that stay the same
    replica_newton     lr, replicas, form ("paired", "centred", "carried"), span_step, rtol, ritz:
                       quasi-Newton from differences of M replicas' gradients (Arnold & Wang), below
    kfac               lr, damping_rule, damping, momentum ("adaptive" or a number), weight_decay,
                       kl_clip, kind (as in `Objective.kron`), factor_ema, interval,
                       inverse_interval: natural gradients of Kronecker factors (see below)
    ================== ============================================================================

    kfac (Martens & Grosse 2015; convolutions: Grosse & Martens 2016) keeps moving averages of the
    factors of `Objective.kron`, with weight ``min(1 - 1/k, factor_ema)`` in the k-th update, one in
    every `interval`-th step, and their inverses, made in the first three and in every
    `inverse_interval`-th step and damped as by `KroneckerFactors.inverse`, by
    ``lambda + weight_decay``. With d minus the product of the inverse and the gradient,
    ``momentum="adaptive"`` takes `lr` times the combination of d and the last step that minimises
    the exact Gauss-Newton model of the batch, lambda in it: three gradients' work more. A number m
    takes ``v <- d + m v``, ``w <- w + lr v``. ``damping="lm"``: in every fifth step lambda falls by
    0.95**5 if the loss fell by more than 3/4 of what the model foretold, and rises by it below 1/4;
    a step that ends where the loss is not finite, or finds a factor that is not definite, is
    refused and raises lambda, too. With kl_clip > 0, d is shortened such that ``lr^2 |d'g|`` is at
    most that. weight_decay adds ``weight_decay / 2 |w|^2`` to the loss. Labels (kind "mc") are
    drawn anew in each step, from the run's `dropout_seed`. Normalisation layers have exact blocks;
    batch normalisation in training, which couples samples, is refused.

    replica_newton splits each batch into M = `replicas` shards, whose sizes differ by at most one.
    From pairs ``G = W H`` and the gradient z of the batch it takes
    ``w -= lr (z - U U'z) + span_step P U'z`` (`hesscore.replica_inverse`), or ``w -= lr z`` where
    ``<P U'z, z> <= 0``, which `StepInfo.fell_back` tells; on the span that is exact for a quadratic
    objective. With g_m the gradient of shard m and g that of the batch, the pairs of

    - paired are ``W_m = -lr g_m(w)``, ``G_m = g_m(w + W_m) - g_m(w)``: two gradients of each shard;
      rank up to M;
    - centred ``W_m = -lr g_m(w)``, ``G_m = g(w + W_m)``, less their means: M + 1 gradients of the
      batch; rank up to M - 1;
    - carried offsets W_m that are kept, ``-lr (g_m - z)`` of the step before, and
      ``G_m = g_m(w + W_m) - z``, z their mean: one gradient of each shard. Shards differ, too, and
      their differences go into G as noise; rank up to M - 1.

    span_step=1 is Newton's step; lr for both is the poster's. `ritz=True` takes 1 / eigenvalue for
    the step's lr, where that is positive, eigenvalue the largest Ritz value of H in the span of W
    (`StepInfo.eigenvalue`); W keeps lr. A Ritz value is a lower bound: the rate may be too large.

    Parameters
    ----------
    f : Objective
        What to minimise.
    method : str
        One of the table; `hesscore.optim.methods` has the defaults.
    clip_norm, clip_value : float, optional
        The gradient of the loss is clipped before anything is made of it (moments, weight decay,
        the z of replica_newton): scaled to a norm of at most clip_norm, or each element cut to
        [-clip_value, clip_value]; one of the two. Curvature is that of the loss itself. Refused by
        gauss_newton, hessian_free, trust_region, newton, lbfgs and kfac, whose models or line
        searches want the gradient as it is.
    ema : float in (0, 1), optional
        Keeps a mean of w, `ema`: w itself after the first step, then ``ema * mean + (1 - ema) * w``
        after each step that is accepted.
    **options
        One of the table's row.

    Raises
    ------
    OptionError
        An unknown method or option, with the nearest known one; or a value out of range.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(64, 2))
    >>> y = x @ np.array([[2.0], [-1.0]]) + 0.5
    >>> w = f.init(dtype="float64")
    >>> opt = hc.Optimizer(f, "gauss_newton", damping=1e-6)
    >>> info = opt.step(w, x, y)
    >>> w.round(3).tolist(), info.accepted
    ([2.0, -1.0, 0.5], True)
    """

    def __init__(
        self,
        f: Objective,
        method: str,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        ema: float | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(f, Objective):
            raise OptionError.about("f", "an Objective", repr(f))
        if method not in methods:
            raise errors.unknown("method", method, methods)
        for name in options:
            if name not in methods[method]:
                known = f"an option of {method},"
                raise errors.unknown(name, name, methods[method], known, "an unknown one")
        if options.get("damping") in ("lm", "constant"):
            options["damping_rule"] = options.pop("damping")
        self.f = f
        self.method = method
        self.options = {**methods[method], **options}
        self._borrowed = options  # the engine calls the schedules in it
        limits = {"clip_norm": clip_norm, "clip_value": clip_value, "ema": ema}
        self._limits = {k: _positive(k, v) for k, v in limits.items() if v is not None}
        numbers = (self._limits.get(name, 0.0) for name in limits)
        self._core = _core.Optimizer(f._core, method, options, *numbers)

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in {**self.options, **self._limits}.items())
        return f"Optimizer({self.method!r}, {options})"

    @property
    def ema(self) -> Any:
        """A copy of the mean of w that the option `ema` keeps: an array like w.

        From `load_state_dict` to the next step, which tells where w lives, it is a NumPy array.

        Raises
        ------
        StateError
            Without that option, or before the first step; or another thread is in a step.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1, bias=False), hc.MSELoss())
        >>> w, x, y = np.zeros(1), np.ones((1, 1)), np.ones((1, 1))
        >>> opt = hc.Optimizer(f, "sgd", lr=0.25, ema=0.9)
        >>> path = [opt.step(w, x, y) and w.item() for _ in range(3)]
        >>> path, opt.ema.round(4).tolist()
        ([0.5, 0.75, 0.875], [0.56])
        """
        return self._core.ema()

    def step(self, w: Any, x: Any, y: Any, sample_weight: Any = None) -> _core.StepInfo:
        """Take one step on a batch; `w` is updated in place.

        Ctrl-C within a step of many evaluations or products ends it as if it had not begun.

        Parameters
        ----------
        w : (P,) NumPy or CuPy array
            Writable and contiguous, with memory of its own. Its dtype and device stay the same for
            the optimizer's life.
        x, y, sample_weight
            The batch, as in `Objective.loss`.

        Returns
        -------
        StepInfo
            loss (before the step), step (from 1), accepted, grad_norm (before clipping; nan where
            a device took the step by itself), and where the method has them damping,
            rho (actual over predicted reduction), radius, iterations (of CG or Lanczos; of lbfgs,
            evaluations), negative_eigenvalues, eigenvalue (replica_newton) and fell_back
            (replica_newton, lbfgs: the gradient in place of a step that would ascend).

        Raises
        ------
        OutputError, ShapeError, DTypeError, LabelError, NonFiniteError
            A bad argument, or a loss, gradient or curvature that is not finite.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> w = np.zeros(2)
        >>> info = hc.Optimizer(f, "sgd", lr=0.1).step(w, np.ones((1, 1)), np.ones((1, 1)))
        >>> w.tolist(), info.loss
        ([0.2, 0.2], 1.0)
        """
        return self._core.step(w, x, y, sample_weight)

    def run(
        self,
        w: Any,
        X: Any,
        Y: Any,
        batch_size: int = 128,
        epochs: int = 5,
        shuffle_seed: int = 0,
        on_step: Callable[[_core.StepInfo], Any] | None = None,
        progress: bool = True,
        *,
        sample_weight: Any = None,
        shuffle: bool = True,
        dropout_seed: int = 0,
        first_epoch: int = 0,
    ) -> NDArray[np.float64]:
        """Take many steps over a data set: many steps, few calls.

        Batches are gathered in the engine. The order of epoch e is a function of (shuffle_seed, e);
        the last batch of an epoch may be smaller. Ctrl-C is seen within 50 ms plus one
        evaluation or product (or a factorisation of newton's or kfac's) and raises
        KeyboardInterrupt with `w` and the state exactly between two steps.

        Parameters
        ----------
        w : (P,) NumPy or CuPy array
            Updated in place, as in `step`.
        X, Y, sample_weight
            The data set, as in `Objective.loss`. With `w` on a CUDA device it may also be in host
            memory: then batches are copied to the device while the ones before them are in use.
        batch_size, epochs : int
            Samples in a batch; passes over the data.
        shuffle_seed : int
            Seed of the order.
        on_step : callable, optional
            Called with the StepInfo after each step; a true return value ends the run.
        progress : bool
            Show a bar (by tqdm, or without it a plain line) on stderr.
        shuffle : bool
            False takes the samples as they come.
        dropout_seed : int
            Seed of the dropout masks.
        first_epoch : int
            Number of the first epoch, to go on with a run where another one ended.

        Returns
        -------
        (steps,) float64 array
            The loss of each batch before its step.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
        >>> X = np.random.default_rng(0).normal(size=(256, 2))
        >>> w = f.init(dtype="float64")
        >>> opt = hc.Optimizer(f, "adam", lr=0.05)
        >>> losses = opt.run(w, X, X[:, :1] + 1, batch_size=32, epochs=30, progress=False)
        >>> losses.shape, bool(losses[-1] < 1e-3)
        ((240,), True)
        """
        batch_size = _check.integer("batch_size", batch_size, 1)
        epochs = _check.integer("epochs", epochs, 0)
        seeds = _check.integer("shuffle_seed", shuffle_seed, 0), _check.flag("shuffle", shuffle)
        dropout_seed = _check.integer("dropout_seed", dropout_seed, 0)
        first_epoch = _check.integer("first_epoch", first_epoch, 0)
        if on_step is not None and not callable(on_step):
            raise OptionError.about("on_step", "a callable or None", repr(on_step))
        with Progress(_rows(X), batch_size, epochs, enabled=bool(progress)) as bar:
            return self._core.run(
                w, X, Y, sample_weight, batch_size, first_epoch, epochs, *seeds, dropout_seed,
                on_step, bar.update,
            )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Copy the state: NumPy arrays of w's dtype and numbers, fit for `numpy.savez`.

        It is exact, on any device. `hesscore.save` writes it beside `w` and the model.

        Raises
        ------
        StateError
            Another thread is in a step or a run.

        Examples
        --------
        >>> import hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> opt = hc.Optimizer(f, "adam")
        >>> opt.load_state_dict(opt.state_dict())
        """
        vectors, scalars = self._core.state()
        return {"method": self.method, **scalars, **vectors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state of the same method and length; steps go on bit for bit.

        Raises
        ------
        StateError
            A key is missing or unknown, or a vector has the wrong length, a value that is not
            finite, or a negative second moment.
        """
        if not isinstance(state, Mapping) or str(state.get("method")) != self.method:
            got = state.get("method") if isinstance(state, Mapping) else type(state).__name__
            raise StateError.about("state", f"a state of {self.method!r}", repr(got))
        vectors, scalars = {}, {}
        for name, value in state.items():
            if not isinstance(name, str):
                raise StateError.about("state", "keys that are strings", repr(name))
            if np.ndim(value) == 1:
                vectors[name] = np.asarray(value)
            elif name != "method":
                scalars[name] = _check.number(f"state[{name!r}]", value, StateError)
        self._core.load_state(vectors, scalars)


def _positive(name: str, value: Any) -> float:
    number = _check.number(name, value)
    if number <= 0:
        raise OptionError.about(name, "a finite number > 0 or None", repr(value))
    return number


def _rows(X: Any) -> int:
    first = next(iter(X.values()), None) if isinstance(X, dict) else X
    shape = getattr(first, "shape", None)
    return shape[0] if shape else 0
