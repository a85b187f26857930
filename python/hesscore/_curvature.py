"""Matrices of an objective as linear operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from . import _check, _core, errors
from ._evaluations import Train

if TYPE_CHECKING:
    from .operators import CurvatureOperator, JacobianOperator

_P = _core.Product
fisher_products = {"empirical": _P.fisher_empirical, "mc": _P.fisher_mc}


class Curvature:
    """The part of `Objective` that makes operators.

    Their x and y may be one batch or many:

    ============================== =================================================================
    x, y                           what it stands for
    ============================== =================================================================
    an array or dict, an array     one batch
    iterables of as many of these  batches; `sample_weight`, if given, is one more
    an iterable or a function      batches (x, y) or (x, y, sample_weight): a list of pairs, a
    without arguments, None        loader, a generator function
    ============================== =================================================================

    Over many batches a matrix of a mean loss is the mean over all their samples: batches count by
    their sizes, or the sums of their weights. That of a summed loss is the sum over batches.
    Lists, tuples and iterators, which are read to their end, are taken batch by batch as they are;
    they are not copied and must not change. What else can be iterated is iterated again at each
    product, on the thread of the solver, and should give the same batches each time. Linearisations
    of lists are kept up to `max_memory`.
    """

    _core: _core.Objective

    def hessian(
        self,
        w: Any,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        train: Train = False,
        max_memory: int = 1 << 30,
        progress: bool = False,
    ) -> CurvatureOperator:
        """Make the Hessian at `w` as a linear operator: linearised once, applied often. Exact.

        Parameters
        ----------
        w : (P,) array
            It is copied.
        x, y, sample_weight
            One batch as in `loss`, which is copied; or many:

            - x and y (and sample_weight) iterables of as many batches,
            - y None and x an iterable of ``(x, y)`` or ``(x, y, sample_weight)``, for instance a
              list or a loader, or a function without arguments that gives one.

            Lists, tuples and iterators (which are read to their end) are kept and must not change;
            anything else is iterated again at each product. The matrix of a mean loss is the mean
            over all samples, batches counting by their sizes or weights, and that of a summed loss
            the sum. Batch statistics are those of each batch.
        train : bool or (seed, step)
            As in `loss`; each batch has masks of its own.
        max_memory : int
            Bytes of linearisations that are kept from product to product; the batches of a list
            beyond are linearised anew each time, about one forward and one backward pass.
        progress : bool
            Show on stderr how many batches of a product are done.

        Returns
        -------
        CurvatureOperator
            (P, P), a `scipy.sparse.linalg.LinearOperator`; on a CUDA device
            `cupyx.scipy.sparse.linalg.LinearOperator`. Solvers of hesscore use it without Python.

        Raises
        ------
        ShapeError, DTypeError, LabelError, NonFiniteError
            A bad argument; the exception names it, and the batch.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.array([[3.0], [1.0], [2.0]]), np.zeros((3, 1))
        >>> H = f.hessian(np.zeros(2), x, y)
        >>> (H @ np.array([3.0, 0.0])).tolist()
        [28.0, 12.0]
        >>> H = f.hessian(np.zeros(2), [(x[:2], y[:2]), (x[2:], y[2:])])  # two batches
        >>> (H @ np.array([3.0, 0.0])).round(12).tolist()
        [28.0, 12.0]
        """
        data = x, y, sample_weight
        return self._operator("hessian", _P.hessian, w, data, train, 1, 0, max_memory, progress)

    def ggn(
        self,
        w: Any,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        train: Train = False,
        max_memory: int = 1 << 30,
        progress: bool = False,
    ) -> CurvatureOperator:
        """Make the Gauss-Newton matrix at `w` as a linear operator; see `hessian` and `ggnvp`.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> G = f.ggn(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> G.dense().tolist()
        [[18.0, 6.0], [6.0, 2.0]]
        """
        data = x, y, sample_weight
        return self._operator("ggn", _P.ggn, w, data, train, 1, 0, max_memory, progress)

    def fisher(
        self,
        w: Any,
        x: Any,
        y: Any = None,
        kind: Literal["empirical", "mc"] = "empirical",
        samples: int = 1,
        seed: int = 0,
        *,
        sample_weight: Any = None,
        train: Train = False,
        max_memory: int = 1 << 30,
        progress: bool = False,
    ) -> CurvatureOperator:
        """Make a Fisher matrix at `w` as a linear operator; see `hessian` and `fishervp`.

        Each of many batches draws its labels with a seed of its own.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> F = f.fisher(np.zeros(2), np.full((1, 1), 3.0), np.ones((1, 1)))
        >>> F.diagonal().tolist()
        [36.0, 4.0]
        """
        product = fisher_products.get(kind)
        if product is None:
            raise errors.unknown("kind", kind, fisher_products)
        samples, seed = _check.samples(samples), _check.integer("seed", seed, 0)
        data, options = (x, y, sample_weight), (samples, seed, max_memory, progress)
        return self._operator(f"fisher_{kind}", product, w, data, train, *options)

    def jacobian(self, w: Any, x: Any, *, train: Train = False) -> JacobianOperator:
        """Make the Jacobian of the network's outputs at `w` as a linear operator. Exact.

        One forward pass; then `matvec` is a tangent pass, `rmatvec` a backward pass, and `matmat`
        and `rmatmat` take many vectors at once.

        Parameters
        ----------
        w : (P,) array
        x : (N, ...) array, or dict of them
        train : bool or (seed, step)

        Returns
        -------
        JacobianOperator
            (N * outputs, P), rows in the order of ``f.predict(w, x).ravel()``; a
            `scipy.sparse.linalg.LinearOperator`, on a CUDA device CuPy's. ``J.T @ J`` is symmetric
            and goes into `hesscore.cg`.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
        >>> J = f.jacobian(np.zeros(3), np.array([[5.0, 7.0], [1.0, 2.0]]))
        >>> J.dense().tolist()
        [[5.0, 7.0, 1.0], [1.0, 2.0, 1.0]]
        >>> (J.T @ np.array([1.0, 10.0])).tolist()
        [15.0, 27.0, 11.0]
        """
        from .operators import jacobian_operator

        return jacobian_operator(self, w, x, train)  # pyright: ignore[reportArgumentType]

    def _operator(self, name: str, product: Any, *point: Any) -> CurvatureOperator:
        from .operators import curvature_operator

        w, data, train, samples, seed, max_memory, progress = point
        max_memory = _check.integer("max_memory", max_memory, 0)
        progress = _check.flag("progress", progress)
        return curvature_operator(
            self, name, product, w, data, train, samples, seed, max_memory, progress  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
