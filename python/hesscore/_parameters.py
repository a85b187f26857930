"""The parameters of an objective: their layout in `w`, their names, their initial values."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _check, _core, errors
from ._arrays import module_of
from .errors import DeviceError, DTypeError, OptionError, ShapeError
from .layers.base import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .losses import Loss

#: Names of the diagonals that `Objective.diag` and `Objective.evaluate` know.
diag_kinds: tuple[str, ...] = tuple(_core.diag_kinds())

_COLUMNS = ("name", "layer", "shape", "params", "supports", "supports_training")


class Parameters:
    """The part of `Objective` that needs no data."""

    _graph: _core.Graph
    _core: _core.Objective
    loss_function: Loss

    @property
    def num_params(self) -> int:
        """Length P of the parameter vector."""
        return self._graph.num_params

    @property
    def layout(self) -> dict[str, tuple[int, Shape]]:
        """Where each named tensor lies in `w`: name -> (offset, shape), in the order of `w`."""
        return {name: (offset, shape) for name, offset, shape in self._graph.layout}

    @property
    def output_shape(self) -> Shape:
        """Shape of the output without the batch."""
        return self._graph.output_shape

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
            default: uniform in ±1/sqrt(fan_in), as PyTorch; the others set biases to zero. hessian
            is explained below.
        dtype : float32 or float64
            The dtype of `w`, and with it of everything computed from it.
        xp : module
            Where the array lives: numpy, cupy for the current CUDA device, or another module with
            `asarray`.

        Returns
        -------
        (P,) array

        See Also
        --------
        hesscore.tune_init : Scales them until the curvature measured on a batch is one.

        Notes
        -----
        "hessian" makes the layers' blocks of the Hessian neither grow nor shrink with depth
        (Skorski et al. 2021). Along G the block of a layer k is, but for a term of higher order,
        ``v' H_z v`` with ``v = J_{n-1} ... J_{k+1} A_k G J_{k-1} ... J_0 x``, the J being those of
        the layers and ``A_k = diag f'``. It is of the size of ``H_z`` when each ``J = A W`` keeps
        norms, forward and backward. For weights of variance s^2 and a mean squared slope a of what
        follows them, ``E |J z|^2 = a n_out s^2 |z|^2`` and ``E |J' u|^2 = a n_in s^2 |u|^2``. Both
        cannot be one, and the compromise is ``s^2 = 2 / (a (n_in + n_out))``:

        ==================== ============= =========================
        behind the layer     a             variance
        ==================== ============= =========================
        nothing, tanh        1             2 / (n_in + n_out)
        ReLU                 1/2           4 / (n_in + n_out)
        sigmoid              1/16          32 / (n_in + n_out)
        smooth f             f'(0)^2       2 / (f'(0)^2 (n_in + n_out))
        Dropout, 1 - p = q   that of f / q q times that of f
        ==================== ============= =========================

        The slope is that at zero, the mean of both sides. Dropout is the engine's, whose masks are
        divided by q: deviations shrink by sqrt(q) where masks of zeros and ones, those of the
        paper, would ask for 1 / sqrt(q). Exact for ReLU and linear layers at zero biases; for
        other activations as far as their inputs are small, which those behind a sigmoid, around
        1/2, are not.

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
        xp = module_of(next(iter(tensors.values()), None))
        for name, (_, shape) in layout.items():
            if name not in tensors:
                raise OptionError.about("tensors", f"an array for {name!r}", "none")
            if module_of(tensors[name]) is not xp:
                expected = f"an array of {xp.__name__}, like the others"
                raise DeviceError.about(f"tensors[{name!r}]", expected, type(tensors[name]))
            part = xp.asarray(tensors[name])
            if part.shape != shape:
                raise ShapeError.about(f"tensors[{name!r}]", str(shape), part.shape)
            if part.dtype != _float_dtype(part.dtype) or (parts and part.dtype != parts[0].dtype):
                expected = parts[0].dtype if parts else "float32 or float64"
                raise DTypeError.about(f"tensors[{name!r}]", str(expected), part.dtype)
            parts.append(part.reshape(-1))
        return xp.concatenate(parts) if parts else np.empty(0, np.float32)

    def supports(self) -> list[dict[str, Any]]:
        """List the layers: name, layer, output shape, parameters and the quantities they support.

        Each row is a dict; "supports" holds the quantities that the layer has rules for, and
        "supports_training" those with ``train=True``. What a layer lacks is refused before anything
        runs, with the names of all such layers.

        Examples
        --------
        >>> import hesscore as hc
        >>> f = hc.Objective(hc.Linear(3, 2), hc.MSELoss())
        >>> row = f.supports()[-1]
        >>> row["layer"], row["shape"], row["params"], "hesscale" in row["supports"]
        ('Linear(3, 2)', (2,), 8, True)
        """
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._graph.rows]

    def memory(
        self,
        batch: int,
        quantities: Sequence[str] = ("loss", "grad"),
        *,
        dtype: Any = "float32",
        train: bool | tuple[int, int] = False,
        samples: int = 1,
        max_memory: int | None = None,
    ) -> int:
        """Tell the memory that quantities will need, in bytes, before they are computed.

        Counts activations, adjoints, everything in between, the results, and on the CPU what each
        thread packs for its products; not `w`, `x`, `y`, vectors and the state of an optimizer. A
        plan keeps its part for the next call with a batch of the same size and the same quantities;
        what threads pack is shared by all plans. It is within 10 % of what is measured, but for
        some 0.3 MB that the process needs anyway.

        Parameters
        ----------
        batch : int
            Samples.
        quantities : sequence of str
            As in `evaluate`, which computes them together; and "hvp", "ggnvp", "fishervp", "jvp"
            and "vjp", each with one vector and in a plan of its own.
        dtype : {"float32", "float64"}
            Of `w`.
        train, samples, max_memory
            As in `evaluate`.

        Returns
        -------
        int

        Raises
        ------
        UnsupportedError
            A quantity without a rule, with the names of all layers that lack it.

        Examples
        --------
        >>> import hesscore as hc
        >>> f = hc.Objective(hc.Sequential(hc.Linear(4, 8), hc.Linear(8, 2)), hc.MSELoss())
        >>> f.memory(100) < f.memory(100, ("loss", "grad", "hesscale")) < f.memory(200, ("ggn",))
        True
        """
        names = [quantities] if isinstance(quantities, str) else list(quantities)
        batch, samples = _check.integer("batch", batch, 1), _check.integer("samples", samples, 1)
        limit = _check.max_memory(max_memory)
        double = _float_dtype(dtype) == np.float64
        return self._core.memory(batch, names, double, bool(train), samples, limit)

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
        supported: predict, loss, grad, jvp, vjp, hvp, ggnvp, fishervp, hesscale,
          hesscale_gn, bl89, ggn, ggn_mc, hutchinson, empirical_fisher, hessian,
          per_sample_grads, grad_moments, kron
        """
        rows = [("name", "layer", "output", "params")]
        for row in self.supports():
            output = f"({', '.join(['N', *map(str, row['shape'])])})"
            rows.append((row["name"], row["layer"], output, str(row["params"])))
        a, b, c, d = (max(map(len, column)) for column in zip(*rows, strict=True))
        for name, layer, output, params in rows:
            print(f"{name:<{a}}  {layer:<{b}}  {output:<{c}}  {params:>{d}}")
        print(f"{self.num_params} parameters, loss {self.loss_function!r}")
        for title, column in ("supported", "supports"), ("in training", "supports_training"):
            names = _common([row[column] for row in self.supports()])
            if column == "supports" or names != _common([r["supports"] for r in self.supports()]):
                print(textwrap.fill(f"{title}: {', '.join(names)}", 79, subsequent_indent="  "))


def _common(columns: list[tuple[str, ...]]) -> list[str]:
    return [name for name in columns[0] if all(name in column for column in columns)]


def _float_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        result = np.dtype(dtype)
    except TypeError:
        raise DTypeError.about("dtype", "float32 or float64", repr(dtype)) from None
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DTypeError.about("dtype", "float32 or float64", result)
    return result
