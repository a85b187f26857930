"""Objective: a network and a loss as a function of (w, x, y), and all that can be asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _check, _core, errors
from .errors import DTypeError, OptionError, ShapeError
from .losses import Loss, Reduction
from .nn import Graph, Layer, Shape, build_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .operators import CurvatureOperator

Train = bool | tuple[int, int]

#: Names of the diagonals that `Objective.diag` and `Objective.evaluate` know.
diag_kinds: tuple[str, ...] = tuple(_core.diag_kinds())

_EVALUATIONS = ("loss", "grad", "predict", *diag_kinds)
_QUANTITIES = ("predict", "loss", "grad", "jvp", "vjp", "hvp", "ggnvp", "fishervp", *diag_kinds)
_HESSIAN, _GGN = _core.Product.hessian, _core.Product.ggn
_FISHER = {"empirical": _core.Product.fisher_empirical, "mc": _core.Product.fisher_mc}


class Objective:
    """A network and a loss as a function ``f(w, x, y)`` of one flat parameter vector.

    Every method takes arrays and returns new NumPy arrays of `w`'s dtype, float32 or float64. Any
    array with the buffer protocol or DLPack (JAX, PyTorch) is accepted where it lies in host
    memory; nothing is cast. All arguments are checked before anything runs.

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
        Refuse NaN and Inf in w, x, y and vectors. One pass over each array.

    Raises
    ------
    GraphError, ShapeError
        Layers that do not fit, or an unknown input shape.

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
    ) -> None:
        if not isinstance(loss, Loss):
            raise OptionError.about("loss", "a loss, e.g. hc.CrossEntropyLoss()", repr(loss))
        if reduction not in (None, "mean", "sum"):
            raise OptionError.about("reduction", "'mean' or 'sum'", repr(reduction))
        self.net = net
        self.loss_function = loss
        self.reduction: Reduction = reduction or loss.reduction
        self.check_finite = _check.flag("check_finite", check_finite)
        engine_loss = loss._engine(self.reduction == "mean")
        self._graph = build_graph(net, engine_loss, input_shape)
        self._core = _core.Objective(self._graph, self.check_finite)

    def __repr__(self) -> str:
        return f"Objective({self.net!r}, {self.loss_function!r}, num_params={self.num_params})"

    # ---- parameters ----------------------------------------------------------------------------

    @property
    def num_params(self) -> int:
        """Length P of the parameter vector."""
        return self._graph.num_params

    @property
    def layout(self) -> dict[str, tuple[int, Shape]]:
        """Where each named tensor lies in `w`: name -> (offset, shape), in the order of `w`."""
        return {name: (offset, shape) for name, offset, shape in self._graph.layout}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(self._graph.inputs)

    def init(
        self, seed: int = 0, scheme: str = "default", dtype: Any = "float32", xp: Any = np
    ) -> Any:
        """Draw initial parameters; the same numbers for every dtype and device.

        Parameters
        ----------
        seed : int
            Seed of the counter-based generator.
        scheme : {"default", "xavier", "he", "lecun", "orthogonal", "hessian"}
            default: uniform in ±1/sqrt(fan_in), as PyTorch; the others set biases to zero.
        dtype : float32 or float64
            The dtype of `w`, and with it of everything computed from it.
        xp : module
            Where the array lives: numpy, or another module with `asarray`.

        Returns
        -------
        (P,) array

        Examples
        --------
        >>> import hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> f.init(seed=1, scheme="he", dtype="float64").shape
        (8,)
        """
        values = self._core.init_values(_check.integer("seed", seed, 0), str(scheme))
        return xp.asarray(values.astype(_float_dtype(dtype), copy=False))

    def views(self, w: Any) -> dict[str, Any]:
        """Name the tensors in `w`, without a copy: writing into a view changes `w`.

        Examples
        --------
        >>> import hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> w = f.init()
        >>> f.views(w)["0.bias"][:] = 0
        >>> w[-2:].tolist()
        [0.0, 0.0]
        """
        if getattr(w, "shape", None) != (self.num_params,):
            raise ShapeError.about("w", f"({self.num_params},)", getattr(w, "shape", type(w)))
        return {
            name: w[offset : offset + int(np.prod(shape))].reshape(shape)
            for name, (offset, shape) in self.layout.items()
        }

    def flatten(self, tensors: Mapping[str, Any]) -> NDArray[Any]:
        """Put named tensors together to a new `w`; the inverse of `views`.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> w = f.init()
        >>> bool((f.flatten(f.views(w)) == w).all())
        True
        """
        layout = self.layout
        for name in tensors:
            if name not in layout:
                raise errors.unknown("tensors", name, layout)
        parts = []
        for name, (_, shape) in layout.items():
            if name not in tensors:
                raise OptionError.about("tensors", f"an array for {name!r}", "none")
            part = np.asarray(tensors[name])
            if part.shape != shape:
                raise ShapeError.about(f"tensors[{name!r}]", str(shape), part.shape)
            if part.dtype != _float_dtype(part.dtype) or (parts and part.dtype != parts[0].dtype):
                expected = parts[0].dtype if parts else "float32 or float64"
                raise DTypeError.about(f"tensors[{name!r}]", str(expected), part.dtype)
            parts.append(part.reshape(-1))
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    # ---- values and derivatives ----------------------------------------------------------------

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

    # ---- products ------------------------------------------------------------------------------

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
        product = _FISHER.get(kind)
        if product is None:
            raise errors.unknown("kind", kind, _FISHER)
        samples, seed = _check.integer("samples", samples, 1), _check.integer("seed", seed, 0)
        return self._core.product(product, w, x, y, v, sample_weight, train, samples, seed)

    def quadratic_form(
        self,
        w: Any,
        x: Any,
        y: Any,
        v: Any,
        kind: Literal["hessian", "ggn", "gap"] = "hessian",
        *,
        sample_weight: Any = None,
        train: Train = False,
    ) -> float:
        """Compute ``v' H v``, ``v' G v``, or their gap ``v' H v - v' G v``.

        The gap is what the Gauss-Newton approximation, the approximate chain rule, drops.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        v : (P,) array
            The direction.
        kind : {"hessian", "ggn", "gap"}
            Which form.

        Returns
        -------
        float

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> x, y = np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> f.quadratic_form(np.zeros(2), x, y, np.array([1.0, 0.0]), kind="gap")
        0.0
        """
        if kind not in ("hessian", "ggn", "gap"):
            raise errors.unknown("kind", kind, ("hessian", "ggn", "gap"))
        if np.ndim(v) != 1:
            raise ShapeError.about("v", f"({self.num_params},)", np.shape(v))
        products = {"hessian": (_HESSIAN,), "ggn": (_GGN,), "gap": (_HESSIAN, _GGN)}[kind]
        forms = []
        for product in products:
            av = self._core.product(product, w, x, y, v, sample_weight, train, 1, 0)
            forms.append(float(np.dot(np.asarray(v, np.float64), av.astype(np.float64))))
        return forms[0] if len(forms) == 1 else forms[0] - forms[1]

    # ---- diagonals and several at once -----------------------------------------------------------

    def diag(
        self,
        w: Any,
        x: Any,
        y: Any,
        kind: str = "hesscale",
        samples: int = 1,
        seed: int = 0,
        *,
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
                           outputs
        ggn_mc             its unbiased estimate from `samples` labels drawn from the model
        hutchinson         mean of ``z * (H z)`` over `samples` Rademacher vectors z: unbiased for
                           the Hessian diagonal (Bekas et al. 2007)
        empirical_fisher   mean of the squared gradients of the samples' own losses
        ================== ========================================================================

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        kind : str
            One of the table.
        samples, seed : int
            For the sampled kinds.

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
        """
        if kind not in diag_kinds:
            raise errors.unknown("kind", kind, diag_kinds)
        return self.evaluate(
            w, x, y, (kind,), samples, seed, sample_weight=sample_weight, train=train
        )[kind]

    def evaluate(
        self,
        w: Any,
        x: Any,
        y: Any,
        names: str | Iterable[str] = ("loss", "grad"),
        samples: int = 1,
        seed: int = 0,
        *,
        sample_weight: Any = None,
        train: Train = False,
    ) -> dict[str, Any]:
        """Compute several quantities, which share one forward and one backward sweep.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        names : str or iterable of str
            "loss", "grad", "predict", and any `kind` of `diag`.
        samples, seed : int
            For the sampled diagonals.

        Returns
        -------
        dict
            A float for "loss", else an array, in the order of `names`.

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
        samples, seed = _check.integer("samples", samples, 1), _check.integer("seed", seed, 0)
        return self._core.evaluate(w, x, y, unique, sample_weight, train, samples, seed)

    # ---- operators -----------------------------------------------------------------------------

    def hessian(
        self, w: Any, x: Any, y: Any, *, sample_weight: Any = None, train: Train = False
    ) -> CurvatureOperator:
        """Make the Hessian at `w` as a linear operator: linearised once, applied often.

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`. They are copied.

        Returns
        -------
        CurvatureOperator
            (P, P), a `scipy.sparse.linalg.LinearOperator`.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> H = f.hessian(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)))
        >>> (H @ np.array([1.0, 0.0])).tolist()
        [18.0, 6.0]
        """
        return self._operator("hessian", _HESSIAN, w, x, y, sample_weight, train, 1, 0)

    def ggn(
        self, w: Any, x: Any, y: Any, *, sample_weight: Any = None, train: Train = False
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
        return self._operator("ggn", _GGN, w, x, y, sample_weight, train, 1, 0)

    def fisher(
        self,
        w: Any,
        x: Any,
        y: Any,
        kind: Literal["empirical", "mc"] = "empirical",
        samples: int = 1,
        seed: int = 0,
        *,
        sample_weight: Any = None,
        train: Train = False,
    ) -> CurvatureOperator:
        """Make a Fisher matrix at `w` as a linear operator; see `hessian` and `fishervp`.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> F = f.fisher(np.zeros(2), np.full((1, 1), 3.0), np.ones((1, 1)))
        >>> F.diagonal().tolist()
        [36.0, 4.0]
        """
        product = _FISHER.get(kind)
        if product is None:
            raise errors.unknown("kind", kind, _FISHER)
        samples, seed = _check.integer("samples", samples, 1), _check.integer("seed", seed, 0)
        name = f"fisher_{kind}"
        return self._operator(name, product, w, x, y, sample_weight, train, samples, seed)

    def _operator(self, name: str, product: Any, *point: Any) -> CurvatureOperator:
        from .operators import CurvatureOperator

        return CurvatureOperator(self, name, product, *point)

    # ---- about the network -----------------------------------------------------------------------

    def supports(self) -> list[dict[str, Any]]:
        """List the layers: name, layer, output shape, parameters and the quantities they support.

        Examples
        --------
        >>> import hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> row = f.supports()[-1]
        >>> row["layer"], row["shape"], row["params"], "hesscale" in row["supports"]
        ('Linear(3, 2)', (2,), 8, True)
        """
        return [
            {"name": name, "layer": layer, "shape": shape, "params": n, "supports": _QUANTITIES}
            for name, layer, shape, n in self._graph.rows
        ]

    def summary(self) -> None:
        """Print the layers with their shapes and parameters, and what is supported.

        Examples
        --------
        >>> import hesscore as hc
        >>> hc.Objective(hc.Linear(3, 2), hc.MSELoss()).summary()
        name  layer         output  params
        x     input         (N, 3)       0
        0     Linear(3, 2)  (N, 2)       8
        8 parameters, loss MSELoss(reduction='mean')
        supported: predict, loss, grad, jvp, vjp, hvp, ggnvp, fishervp,
          hesscale, hesscale_gn, bl89, ggn, ggn_mc, hutchinson, empirical_fisher
        """
        rows = [("name", "layer", "output", "params")]
        for row in self.supports():
            output = f"({', '.join(['N', *map(str, row['shape'])])})"
            rows.append((row["name"], row["layer"], output, str(row["params"])))
        a, b, c, d = (max(map(len, column)) for column in zip(*rows, strict=True))
        for name, layer, output, params in rows:
            print(f"{name:<{a}}  {layer:<{b}}  {output:<{c}}  {params:>{d}}")
        print(f"{self.num_params} parameters, loss {self.loss_function!r}")
        basic = _QUANTITIES[: -len(diag_kinds)]
        print(f"supported: {', '.join(basic)},\n  {', '.join(diag_kinds)}")


def _float_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        result = np.dtype(dtype)
    except TypeError:
        raise DTypeError.about("dtype", "float32 or float64", repr(dtype)) from None
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DTypeError.about("dtype", "float32 or float64", result)
    return result
