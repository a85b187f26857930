"""Objective: a network and a loss as a function of (w, x, y), and all that can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from . import _check, _core, errors
from ._buffers import Buffers
from ._curvature import fisher_products
from ._evaluations import Evaluations, Train
from ._forms import Forms
from ._parameters import Parameters
from .errors import OptionError
from .graph import Graph, build_graph
from .kronecker import KroneckerMethods
from .layers.base import Layer, Shape
from .losses import Loss, Reduction

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PRECISIONS = ("fp32", "tf32", "fp64")
_HESSIAN, _GGN = _core.Product.hessian, _core.Product.ggn


class Objective(Parameters, Buffers, Evaluations, Forms, KroneckerMethods):
    """A network and a loss as a function ``f(w, x, y)`` of one flat parameter vector.

    The arrays decide where and how the work runs. Arrays in host memory give NumPy arrays, computed
    on the CPU; arrays on a CUDA device give CuPy arrays on that device, in the order of CuPy's
    current stream. Results have `w`'s dtype, float32 or float64. Any array with the buffer protocol
    or DLPack (JAX, PyTorch) is accepted as an input. Nothing is cast or copied between devices: a
    mismatch is an error. All arguments are checked before anything runs; on a CUDA device labels
    are found to be out of range afterwards, by the NaN that they make of the loss.

    Three arguments are the same everywhere:

    sample_weight : (N,) array, optional
        Weight k counts as k copies of the sample, in every quantity.
    train : bool or (seed, step)
        Training mode, in which dropout draws the mask that belongs to (seed, step); True is (0, 0).
    x : array (N, ...) or dict
        The batch, or for a graph with several inputs a dict name -> array.

    Parameters
    ----------
    net : Layer or Graph
        The network. A single layer counts as `Sequential(layer)`.
    loss : Loss
        The loss, for instance `CrossEntropyLoss()`.
    input_shape : int or tuple of int, optional
        Shape of one sample. Not needed where the first layer tells it.
    reduction : {"mean", "sum"}, optional
        Overrides that of the loss. All quantities are those of the reduced loss.
    check_finite : bool
        Refuse NaN and Inf in w, x, y and vectors. One pass over each array; on a CUDA device each
        waits for its answer.
    precision : {"fp32", "tf32", "fp64"}
        How products of float32 arrays are computed on a CUDA device. fp32: relative errors below
        1e-5. tf32: the operands of products are rounded to 11 bits, for the tensor cores, and the
        sums are float32: relative errors below 1e-3, of diagonals relative to the sum of their
        terms' magnitudes, and CG stalls near a relative residual of 1e-3. fp64: `w` must be
        float64. The CPU computes tf32 as fp32, and float64 is float64 everywhere.

    Raises
    ------
    GraphError, ShapeError
        Layers that do not fit, or an unknown input shape.
    OptionError
        An unknown reduction or precision.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> net = hc.Sequential(hc.Linear(4, 16), hc.Tanh(), hc.Linear(16, 3))
    >>> f = hc.Objective(net, loss=hc.CrossEntropyLoss(), input_shape=(4,))
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(32, 4)), rng.integers(0, 3, size=32)
    >>> w = f.init(seed=0, dtype="float64")
    >>> value, grad = f.value_and_grad(w, x, y)
    >>> grad.shape == w.shape == (f.num_params,)
    True
    """

    def __init__(
        self,
        net: Layer | Graph,
        loss: Loss,
        input_shape: int | Shape | None = None,
        reduction: Reduction | None = None,
        check_finite: bool = True,
        precision: Literal["fp32", "tf32", "fp64"] = "fp32",
    ) -> None:
        if not isinstance(loss, Loss):
            raise OptionError.about("loss", "a loss, e.g. hc.CrossEntropyLoss()", repr(loss))
        if reduction not in (None, "mean", "sum"):
            raise OptionError.about("reduction", "'mean' or 'sum'", repr(reduction))
        if precision not in _PRECISIONS:
            raise errors.unknown("precision", precision, _PRECISIONS)
        self.net = net
        self.loss_function = loss
        self.reduction: Reduction = reduction or loss.reduction
        self.check_finite = _check.flag("check_finite", check_finite)
        self._input_shape = input_shape
        engine_loss = loss._engine(self.reduction == "mean")
        self._graph = build_graph(net, engine_loss, input_shape)
        self.precision = precision
        self._core = _core.Objective(self._graph, self.check_finite, precision)

    def __repr__(self) -> str:
        return f"Objective({self.net!r}, {self.loss_function!r}, num_params={self.num_params})"

    def hvp(
        self, w: Any, x: Any, y: Any, v: Any, *, sample_weight: Any = None, train: Train = False
    ) -> NDArray[Any]:
        """Compute ``H v``, H the Hessian of the reduced loss. Exact.

        About three gradients' work for one `v`, less for each of several (Pearlmutter 1994).

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        v : (P,) or (K, P) array
            One vector, or K that share a pass.

        Returns
        -------
        array of v's shape

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> f.hvp(np.zeros(2), x, y, np.eye(2)).tolist()  # 2 [x^2 x; x 1]
        [[18.0, 6.0], [6.0, 2.0]]
        """
        return self._core.product(_HESSIAN, w, x, y, v, sample_weight, train, 1, 0)

    def ggnvp(
        self, w: Any, x: Any, y: Any, v: Any, *, sample_weight: Any = None, train: Train = False
    ) -> NDArray[Any]:
        """Compute ``G v``, ``G = sum_n J_n' H_n J_n`` the generalised Gauss-Newton matrix.

        `H_n` is the Hessian of the reduced loss in the output of sample n: a mean's 1/N is inside
        (Schraudolph 2002). Exact as the product with G; G equals the Hessian where the network is
        linear in `w`.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        v : (P,) or (K, P) array
            One vector, or K that share a pass.

        Returns
        -------
        array of v's shape

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> f.ggnvp(np.zeros(2), x, y, np.array([1.0, 0.0])).tolist()
        [18.0, 6.0]
        """
        return self._core.product(_GGN, w, x, y, v, sample_weight, train, 1, 0)

    def fishervp(
        self,
        w: Any,
        x: Any,
        y: Any,
        v: Any,
        kind: Literal["empirical", "mc"] = "empirical",
        samples: int = 1,
        seed: int = 0,
        *,
        sample_weight: Any = None,
        train: Train = False,
    ) -> NDArray[Any]:
        """Compute ``F v`` with a Fisher matrix, ``F = 1/N sum_n g_n g_n'`` for a mean loss.

        `g_n` is the gradient of the sample's own loss: at its label (empirical), or at labels drawn
        from the model's distribution (mc), which is unbiased for the GGN of likelihood losses. For
        a sum there is no 1/N.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        v : (P,) or (K, P) array
            One vector, or K that share a pass.
        kind : {"empirical", "mc"}
            Which labels.
        samples, seed : int
            Labels drawn for each sample of the batch, and their seed (mc).

        Returns
        -------
        array of v's shape

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.ones((1, 1))
        >>> f.fishervp(np.zeros(2), x, y, np.array([1.0, 0.0])).tolist()  # g = -2 (3, 1)
        [36.0, 12.0]
        """
        product = fisher_products.get(kind)
        if product is None:
            raise errors.unknown("kind", kind, fisher_products)
        samples, seed = _check.samples(samples), _check.integer("seed", seed, 0)
        return self._core.product(product, w, x, y, v, sample_weight, train, samples, seed)
