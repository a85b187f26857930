"""Kronecker-factored curvature (the KFAC family): factors of every layer, and solves with them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from . import _check, _core, errors
from .errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._evaluations import Train
    from .operators import EngineOperator

_KINDS = ("mc", "exact", "empirical", "kfra")
_APPROXIMATIONS = ("expand", "reduce")
_BIASES = ("joint", "separate")


class Factor(NamedTuple):
    """The two factors of a block.

    Attributes
    ----------
    A : (columns, columns) or (columns,) array
        Of the inputs; of an embedding its diagonal alone.
    G : (rows, rows) array
        Of the adjoints.
    """

    A: NDArray[Any]
    G: NDArray[Any]


class KroneckerFactors:
    """Kronecker factors of every layer at one point, made by `Objective.kron`.

    The matrix F is block diagonal in the layers; the block of a weight, flattened to (rows,
    columns), is ``F[(i, j), (k, l)] = G[i, k] A[j, l]``, and `corrected` ones are
    ``(U_G x U_A) diag(S) (U_G x U_A)'``. With other objects it goes where operators go:
    ``K @ v``, ``hc.cg(K, b)``, ``hc.cg(H, b, M=K.inverse(damping))``.

    Attributes
    ----------
    factors : dict of str to Factor
        By block: "0" for the weight and bias of layer "0", "0[1]" for its second group of channels,
        "0.weight" and "0.bias" where they are apart. They are views of the memory that everything
        here is computed from; read them, and change them by `update` alone.
    shape : (int, int)
        (P, P).
    dtype : dtype
    corrected : bool
        Whether they are EKFAC's.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
    >>> x = np.array([[1.0, 2.0]])
    >>> K = f.kron(np.zeros(3), x, np.zeros((1, 1)), kind="exact")
    >>> A, G = K.factors["0"]  # (x, 1) (x, 1)' and d2l/dz2
    >>> A.tolist(), G.round(6).tolist()
    ([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], [[2.0]])
    >>> bool(np.allclose(K.dense(), f.ggn(np.zeros(3), x, np.zeros((1, 1))).dense()))
    True
    """

    def __init__(self, engine: Any, corrected: bool) -> None:
        self._engine = engine
        self._last: tuple[tuple[float, bool], EngineOperator] | None = None
        self.corrected = corrected
        flat = engine.factors
        self.dtype = np.dtype(flat.dtype)
        self.factors: dict[str, Factor] = {}
        size = 0
        for name, rows, columns, diagonal, a, g in engine.blocks:
            shape = (columns,) if diagonal else (columns, columns)
            self.factors[name] = Factor(
                flat[a : a + int(np.prod(shape))].reshape(shape),
                flat[g : g + rows * rows].reshape(rows, rows),
            )
            size += rows * columns
        self.shape = (size, size)

    @functools.cached_property
    def _operator(self) -> EngineOperator:
        from .operators import engine_operator

        return engine_operator(self._engine.matrix())

    @property
    def _core(self) -> Any:
        return self._operator._core

    def __repr__(self) -> str:
        kind = "EKFAC" if self.corrected else "Kronecker"
        return f"<{kind} factors of {len(self.factors)} blocks, shape {self.shape}, {self.dtype}>"

    def __matmul__(self, v: Any) -> NDArray[Any]:
        """Multiply F with (P,) or the columns of (P, K): ``rows columns (rows + columns)`` each."""
        return self._operator @ v

    def matvec(self, v: Any) -> NDArray[Any]:
        """Multiply F with a vector (P,)."""
        return self._operator.matvec(v)

    def dense(self) -> NDArray[Any]:
        """Form the (P, P) matrix.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> K = f.kron(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)), kind="exact")
        >>> K.dense().round(6).tolist()
        [[18.0, 6.0], [6.0, 2.0]]
        """
        return self._operator.dense()

    def diagonal(self) -> NDArray[Any]:
        """Compute the diagonal of F, (P,), without forming F.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> K = f.kron(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)), kind="exact")
        >>> K.diagonal().round(6).tolist()
        [18.0, 2.0]
        """
        return self._engine.diagonal()

    def trace(self) -> float:
        """Sum the diagonal of F: ``sum trace(A) trace(G)``.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> K = f.kron(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)), kind="exact")
        >>> round(K.trace(), 6)
        20.0
        """
        return self._engine.trace()

    def logdet(self, damping: float) -> float:
        """Compute ``log det(F + damping I)`` from the eigenvalues of all factors.

        Raises
        ------
        OptionError
            A damping below 0, or one that leaves the matrix singular or indefinite.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> K = f.kron(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)), kind="exact")
        >>> round(K.logdet(1.0), 6) == round(float(np.log(21.0)), 6)  # eigenvalues 20 and 0
        True
        """
        return self._engine.logdet(_check.number("damping", damping))

    def inverse(self, damping: float, pi: bool = True) -> EngineOperator:
        """Make the damped inverse as an operator: a preconditioner for `hesscore.cg`.

        Factors are decomposed once, here: ``rows^3 + columns^3`` for each block; products take
        ``rows columns (rows + columns)``. What is made stays as it is when `update` is called.

        Parameters
        ----------
        damping : float
            At least 0.
        pi : bool
            True: ``(A + pi sqrt(damping) I)^-1 x (G + sqrt(damping) / pi I)^-1`` with
            ``pi^2 = (trace(A) / columns) / (trace(G) / rows)``, by Cholesky (Martens & Grosse 2015,
            section 6.3). False, and always of `corrected` factors: ``(F + damping I)^-1`` exactly,
            in the eigenbases.

        Returns
        -------
        EngineOperator
            (P, P), a SciPy or, on a CUDA device, CuPy `LinearOperator`.

        Raises
        ------
        OptionError
            A damping below 0, or one that leaves a block singular or indefinite; it is named.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> w, x, y = np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1))
        >>> M = f.kron(w, x, y, kind="exact").inverse(1.0, pi=False)
        >>> A = f.ggn(w, x, y) + 1.0 * hc.identity(2)
        >>> hc.cg(A, np.array([1.0, 2.0]), M=M)[1].iterations
        1
        """
        from .operators import engine_operator

        damping, pi = _check.number("damping", damping), _check.flag("pi", pi)
        return engine_operator(self._engine.inverse(damping, pi))

    def solve(self, v: Any, damping: float, pi: bool = True) -> NDArray[Any]:
        """Multiply with the damped inverse; see `inverse`, which is kept for the next call.

        Parameters
        ----------
        v : (P,) or (K, P) array
            One vector, or K of them.
        damping : float
            At least 0.
        pi : bool
            As in `inverse`.

        Returns
        -------
        array of v's shape

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> K = f.kron(np.zeros(2), np.full((1, 1), 3.0), np.zeros((1, 1)), kind="exact")
        >>> K.solve(np.array([21.0, 0.0]), damping=1.0, pi=False).round(6).tolist()
        [3.0, -6.0]
        """
        key = (_check.number("damping", damping), _check.flag("pi", pi))
        if self._last is None or self._last[0] != key:
            self._last = (key, self.inverse(*key))
        return self._last[1]._core.apply(v)

    def update(self, other: KroneckerFactors, decay: float) -> None:
        """Move towards other factors: ``A <- decay A + (1 - decay) other.A``, and G likewise.

        Parameters
        ----------
        other : KroneckerFactors
            Of the same objective with the same options; not `corrected`, nor these.
        decay : float
            Between 0 and 1; 0.95 in Martens & Grosse 2015.

        Raises
        ------
        OptionError, StateError, UnsupportedError
            A bad decay; factors of other layers; corrected ones.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Linear(1, 1), hc.MSELoss())
        >>> K, L = (f.kron(np.zeros(2), np.full((1, 1), x), np.zeros((1, 1))) for x in (1.0, 3.0))
        >>> K.update(L, decay=0.5)
        >>> K.factors["0"].A.tolist()
        [[5.0, 2.0], [2.0, 1.0]]
        """
        if not isinstance(other, KroneckerFactors):
            raise OptionError.about("other", "Kronecker factors", repr(other))
        self._engine.update(other._engine, _check.number("decay", decay))
        self._last = None


class KroneckerMethods:
    """The part of `Objective` that makes Kronecker factors."""

    _core: _core.Objective

    def kron(
        self,
        w: Any,
        x: Any,
        y: Any,
        kind: Literal["mc", "exact", "empirical", "kfra"] = "mc",
        samples: int = 1,
        seed: int = 0,
        *,
        approximation: Literal["expand", "reduce"] = "expand",
        bias: Literal["joint", "separate"] = "joint",
        corrected: bool = False,
        sample_weight: Any = None,
        train: Train = False,
    ) -> KroneckerFactors:
        r"""Approximate the Gauss-Newton matrix by Kronecker factors ``G x A`` of every layer.

        With x_nt the input of a layer's weights at position t of sample n (in all uses of the
        layer; T of them), s_n the sample weights and g_cnt the adjoint of the output there for the
        loss column c (columns whose outer products sum to the curvature of the *reduced* loss, so
        that a mean's 1/N is in G once):

        - expand (Grosse & Martens 2016; Eschenhagen et al. 2023):
          ``A = sum_nt s_n x_nt x_nt' / (T sum_n s_n)``, ``G = sum_cnt g_cnt g_cnt'``;
        - reduce (Eschenhagen et al. 2023): ``A = sum_n s_n a_n a_n' / sum_n s_n`` with
          ``a_n = sum_t x_nt / T``, ``G = sum_cn b_cn b_cn'`` with ``b_cn = sum_t g_cnt``.

        An approximation, which is exact for one sample and one position, on average for deep linear
        networks with a squared error (Bernacchia et al. 2018), and with "reduce" where all
        positions have the same adjoint.

        Convolutions: x is a patch in the order of the flattened weight (in / groups, kh, kw); every
        group of channels has factors of its own. Transposed convolutions: x is what reaches an
        output pixel, (in / groups, kh, kw), and G is of the outputs, though the weight is stored
        (in, out / groups, kh, kw). Normalisations have no Kronecker structure: each of weight and
        bias has its exact block of the Gauss-Newton (or sampled, or empirical Fisher) matrix,
        A = [1]. Embeddings: A is diagonal, the frequencies of the tokens, zero for padding_idx, and
        "expand" is meant always.

        Costs beside the sweeps: ``N T (in^2 + C out^2) / 2`` multiply-adds of a layer with C
        columns; exact factors take as many columns as the loss has outputs, mc ones `samples`.

        Scaling elsewhere: Grosse & Martens 2016 have 1/T in G and not in A, with the same product.
        BackPACK's KFAC and KFLR of linear layers are these factors with ``bias="separate"``; its
        convolutions take T times the A of "expand" and the G of "reduce".

        Parameters
        ----------
        w, x, y, sample_weight, train
            As in `loss`.
        kind : {"mc", "exact", "empirical", "kfra"}
            Whose gradients G is made of: at labels drawn from the model (KFAC; unbiased for exact),
            of all square-root columns of the loss's Hessian (KFLR, Botev et al. 2017), at the true
            labels. kfra (the same paper): G from the average over samples of the Gauss-Newton
            matrix in a layer's output, (d, d) for d outputs of the layer, taken from layer to layer
            as if they were independent; through chains of linear and element-wise layers of up to
            8192 outputs, without pooling of maxima, norms and branches.
        samples, seed : int
            Labels drawn for each sample of the batch, and their seed (mc).
        approximation : {"expand", "reduce"}
            How positions are summed.
        bias : {"joint", "separate"}
            joint: the bias is a last column of ones in x. separate: a block of its own, A = [1].
        corrected : bool
            EKFAC (George et al. 2018): the second moments of the gradients of single samples, their
            positions summed first, in the eigenbases of A and G, in place of the products of
            eigenvalues.

        Returns
        -------
        KroneckerFactors

        Raises
        ------
        UnsupportedError
            Samples share statistics somewhere (batch norm in training), or layers without a rule;
            all of them are named.
        OptionError, ShapeError, DTypeError, NonFiniteError
            A bad argument; the exception names it.

        Examples
        --------
        >>> import numpy as np, hesscore as hc
        >>> f = hc.Objective(hc.Sequential(hc.Linear(4, 8), hc.Tanh(), hc.Linear(8, 3)),
        ...                  hc.CrossEntropyLoss())
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(32, 4)), rng.integers(0, 3, size=32)
        >>> w = f.init(dtype="float64")
        >>> K = f.kron(w, x, y)
        >>> {name: (A.shape, G.shape) for name, (A, G) in K.factors.items()}
        {'0': ((5, 5), (8, 8)), '2': ((9, 9), (3, 3))}
        >>> loss, gradient = f.value_and_grad(w, x, y)
        >>> bool(f.loss(w - K.solve(gradient, damping=0.1), x, y) < loss)
        True
        """
        for name, value, known in (
            ("kind", kind, _KINDS),
            ("approximation", approximation, _APPROXIMATIONS),
            ("bias", bias, _BIASES),
        ):
            if value not in known:
                raise errors.unknown(name, value, known)
        samples, seed = _check.samples(samples), _check.integer("seed", seed, 0)
        corrected = _check.flag("corrected", corrected)
        engine = _core.kronecker(
            self._core, w, x, y, kind, samples, seed, approximation == "reduce",
            bias == "separate", corrected, sample_weight, train,
        )  # fmt: skip
        return KroneckerFactors(engine, corrected)
