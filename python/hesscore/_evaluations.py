"""The evaluations of an objective: values, first derivatives and diagonal curvatures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _check, _core, errors
from ._parameters import diag_kinds
from .kronecker import KroneckerFactors

if TYPE_CHECKING:
    from numpy.typing import NDArray

Train = bool | tuple[int, int]

_EVALUATIONS = (
    "loss", "grad", "predict", "per_sample_grads", "grad_moments", "kron", *diag_kinds,
)  # fmt: skip


class Evaluations:
    """The part of `Objective` that evaluates at a point."""

    _core: _core.Objective

    def predict(self, w: Any, x: Any, *, train: Train = False) -> NDArray[Any]:
        """Compute the network's output.

        Parameters
        ----------
        w : (P,) array
        x : (N, ...) array, or dict of them
        train : bool or (seed, step)

        Returns
        -------
        (N, ...) array

        Raises
        ------
        ShapeError, DTypeError, NonFiniteError
            A bad argument; the exception names it.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> f.predict(np.ones(8), np.ones((1, 3))).tolist()
        [[4.0, 4.0]]
        """
        return self._core.predict(w, x, train)

    def loss(
        self, w: Any, x: Any, y: Any, *, sample_weight: Any = None, train: Train = False
    ) -> float:
        """Compute the reduced loss.

        Parameters
        ----------
        w : (P,) array
        x : (N, ...) array, or dict of them
        y : array
            Targets, as the loss describes them.
        sample_weight : (N,) array, optional
        train : bool or (seed, step)

        Returns
        -------
        float

        Raises
        ------
        ShapeError, DTypeError, LabelError, NonFiniteError
            A bad argument; the exception names it.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> f.loss(np.zeros(8), np.ones((4, 3)), np.full((4, 2), 3.0))
        9.0
        """
        return self._core.loss(w, x, y, sample_weight, train)

    def value_and_grad(
        self, w: Any, x: Any, y: Any, *, sample_weight: Any = None, train: Train = False
    ) -> tuple[float, NDArray[Any]]:
        """Compute the reduced loss and its gradient. Exact.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.

        Returns
        -------
        (float, (P,) array)

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> value, grad = f.value_and_grad(np.zeros(2), np.ones((4, 1)), np.full((4, 1), 3.0))
        >>> value, grad.tolist()
        (9.0, [-6.0, -6.0])
        """
        return self._core.value_and_grad(w, x, y, sample_weight, train)

    def jvp(self, w: Any, x: Any, v: Any, *, train: Train = False) -> NDArray[Any]:
        """Compute ``J v``, J the Jacobian of the network's output in `w`. Exact.

        Parameters
        ----------
        w : (P,) array
        x : (N, ...) array, or dict of them
        v : (P,) or (K, P) array
        train : bool or (seed, step)

        Returns
        -------
        (N, ...) or (K, N, ...) array

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> f.jvp(np.zeros(8), np.ones((1, 3)), np.ones(8)).tolist()
        [[4.0, 4.0]]
        """
        return self._core.jvp(w, x, v, train)

    def vjp(self, w: Any, x: Any, u: Any, *, train: Train = False) -> NDArray[Any]:
        """Compute ``J' u``, J the Jacobian of the network's output in `w`. Exact.

        Parameters
        ----------
        w : (P,) array
        x : (N, ...) array, or dict of them
        u : (N, ...) or (K, N, ...) array
            Of the output's shape, or K of them.
        train : bool or (seed, step)

        Returns
        -------
        (P,) or (K, P) array

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
        >>> f.vjp(np.zeros(3), np.array([[5.0, 7.0]]), np.ones((1, 1))).tolist()
        [5.0, 7.0, 1.0]
        """
        return self._core.vjp(w, x, u, train)

    def diag(
        self,
        w: Any,
        x: Any,
        y: Any,
        kind: str = "hesscale",
        samples: int = 1,
        seed: int = 0,
        *,
        max_memory: int | None = None,
        sample_weight: Any = None,
        train: Train = False,
    ) -> NDArray[Any]:
        """Compute a diagonal curvature of the reduced loss.

        ================== ========================================================================
        kind               what it is
        ================== ========================================================================
        hesscale           approximate Hessian diagonal in one sweep, about the cost of a gradient;
                           exact on the last linear layer (Elsayed & Mahmood 2022)
        hesscale_gn        the same recursion without the activations' second derivatives
        bl89               the same with the softmax taken element-wise (Becker & LeCun 1989)
        ggn                exact diagonal of the Gauss-Newton matrix; C backward columns for C
                           outputs, C - 1 for C classes
        ggn_mc             its unbiased estimate from `samples` labels drawn from the model
        hutchinson         mean of ``z * (H z)`` over `samples` Rademacher vectors z: unbiased for
                           the Hessian diagonal (Bekas et al. 2007)
        empirical_fisher   mean of the squared gradients of the samples' own losses
        hessian            exact diagonal of the Hessian: a tangent of the backward pass for each
                           unit of a dense layer, or each weight of another one; a backward column
                           for each output where all above a layer is piecewise linear
        ================== ========================================================================

        The first three take the statistics of a batch normalisation in training mode for constants,
        where samples share them; there, `empirical_fisher`, `ggn` and `ggn_mc` are refused.
        `hessian`, gradients and products are exact everywhere.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        kind : str
            One of the table.
        samples, seed : int
            For the sampled kinds.
        max_memory : int, optional
            Bytes for the columns of `hessian` and `ggn` that travel together, beside what a
            gradient needs. One at a time travels in any case. The default keeps a machine busy.

        Returns
        -------
        (P,) array

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> f.diag(np.zeros(2), x, y, kind="hesscale").tolist()
        [18.0, 2.0]
        >>> f.diag(np.zeros(2), x, y, kind="hessian", max_memory=1 << 20).tolist()
        [18.0, 2.0]
        """
        if kind not in diag_kinds:
            raise errors.unknown("kind", kind, diag_kinds)
        return self.evaluate(
            w,
            x,
            y,
            (kind,),
            samples,
            seed,
            max_memory=max_memory,
            sample_weight=sample_weight,
            train=train,
        )[kind]

    def per_sample_grads(
        self,
        w: Any,
        x: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        train: Train = False,
        out: Any = None,
    ) -> NDArray[Any]:
        """Compute the gradient of every sample's part of the loss. Exact.

        Of a mean loss row n is N times the gradient of sample n's part, so that the mean of the
        rows is the gradient; without weights and ignored labels it is the gradient of the sample's
        own loss. Of a sum the rows add up to the gradient. One forward and one backward sweep; what
        takes time is writing N P numbers, and far more than that where the memory is new: give
        `out` when you ask again and again.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        out : (N, P) array, optional
            Where to write the rows: contiguous, of w's dtype and device. It is returned.

        Returns
        -------
        (N, P) array

        Raises
        ------
        OutputError, DeviceError
            An `out` that does not fit.
        UnsupportedError
            Where samples share statistics, as in a batch normalisation in training mode; it names
            all such layers.

        See Also
        --------
        grad_moments : Their mean, variance and norms in the memory of a few vectors.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.array([[1.0], [3.0]]), np.ones((2, 1))
        >>> rows = f.per_sample_grads(np.zeros(2), x, y)
        >>> rows.tolist()
        [[-2.0, -2.0], [-6.0, -2.0]]
        >>> bool((rows.mean(0) == f.value_and_grad(np.zeros(2), x, y)[1]).all())
        True
        """
        rows: Any = self._core.per_sample_grads(w, x, y, sample_weight, train, out)
        return rows

    def grad_moments(
        self, w: Any, x: Any, y: Any, *, sample_weight: Any = None, train: Train = False
    ) -> dict[str, NDArray[Any]]:
        """Compute mean, second moment, variance and norms of the gradients of single samples.

        They are those of the rows of `per_sample_grads`, which are not formed: sums of squares and
        norms of a linear layer with one position follow from its inputs and adjoints (Goodfellow
        2015, arXiv:1510.01799), and other layers form the gradients of some samples at a time, in
        memory for some million numbers or the gradient of one sample. One forward and one backward
        sweep; about two gradients' work.

        Exact up to rounding. The variance is a difference: in float32 its error is some 1e-7 of the
        second moment, which counts where the rows are nearly equal; a negative one becomes zero.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.

        Returns
        -------
        dict
            "mean" (P,): 1/N times the sum of the rows; of a mean loss, the gradient.
            "second_moment" (P,): 1/N times the sum of their squares, element by element.
            "variance" (P,): ``second_moment - mean**2``, that of the population (ddof=0).
            "norms" (N,): the Euclidean norm of each row.

        Raises
        ------
        UnsupportedError
            Where samples share statistics, as in a batch normalisation in training mode; it names
            all such layers.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.array([[1.0], [3.0]]), np.ones((2, 1))
        >>> moments = f.grad_moments(np.zeros(2), x, y)  # of the rows (-2, -2) and (-6, -2)
        >>> moments["mean"].tolist(), moments["variance"].tolist()
        ([-4.0, -2.0], [4.0, 0.0])
        >>> (moments["norms"] ** 2).round(12).tolist()
        [8.0, 40.0]
        """
        return self.evaluate(w, x, y, "grad_moments", sample_weight=sample_weight, train=train)[
            "grad_moments"
        ]

    def evaluate(
        self,
        w: Any,
        x: Any,
        y: Any,
        names: str | Iterable[str] = ("loss", "grad"),
        samples: int = 1,
        seed: int = 0,
        *,
        max_memory: int | None = None,
        sample_weight: Any = None,
        train: Train = False,
    ) -> dict[str, Any]:
        """Compute several quantities, which share one forward and one backward sweep.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        names : str or iterable of str
            "loss", "grad", "predict", "per_sample_grads", "grad_moments", any `kind` of `diag`, and
            "kron", the factors that `kron` gives without further options.
        samples, seed : int
            For the sampled diagonals and "kron".
        max_memory : int, optional
            As in `diag`.

        Returns
        -------
        dict
            A float for "loss", a dict for "grad_moments", `KroneckerFactors` for "kron", else an
            array, in the order of `names`.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.ones((1, 1))
        >>> f.evaluate(np.zeros(2), x, y, ("loss", "grad", "hesscale"))
        {'loss': 1.0, 'grad': array([-6., -2.]), 'hesscale': array([18.,  2.])}
        """
        unique = list(dict.fromkeys((names,) if isinstance(names, str) else names))
        for name in unique:
            if name not in _EVALUATIONS:
                raise errors.unknown("names", name, _EVALUATIONS)
        samples, seed = _check.samples(samples), _check.integer("seed", seed, 0)
        limit = _check.max_memory(max_memory)
        found = self._core.evaluate(w, x, y, unique, sample_weight, train, samples, seed, limit)
        if "kron" in found:
            found["kron"] = KroneckerFactors(found["kron"], corrected=False)
        return found
