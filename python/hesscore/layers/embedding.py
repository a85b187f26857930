"""Embeddings: rows of a table, looked up by integers."""

from __future__ import annotations

from .. import _check
from ..errors import OptionError
from .base import Builder, Layer


class Embedding(Layer):
    """``y = W[x]``: rows of `weight`, `(num_embeddings, embedding_dim)`, chosen by integers.

    An input of the network that an embedding reads is one of integers: any integer dtype; nothing
    else may read it. Indices (N, d1, ...) become (N, d1, ..., embedding_dim); a network that begins
    with an embedding takes `input_shape=(d1, ...)`, and `()` for one index for each sample.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table; indices are in 0..num_embeddings-1.
    embedding_dim : int
        Length of a row.
    padding_idx : int, optional
        A row that starts as zero and whose derivatives are zero, so that it stays as it is;
        negative numbers count from behind.

    Raises
    ------
    IndexRangeError
        From a call: an index out of range, with its position. On a CUDA device it makes the loss
        NaN, and only then are indices copied to the host to say which it was.
    DTypeError
        From a call: an input that is not of integers.
    GraphError
        An embedding of what is no input, or an input that others read, too.

    Notes
    -----
    Rows start standard normal in every scheme, as in PyTorch. Gradients, products and the
    Gauss-Newton and Fisher diagonals are exact: a row that a sample uses more than once has the sum
    of these gradients, squared afterwards. HesScale and BL89 add up what arrives at every use and
    drop curvature between uses.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> net = hc.Sequential(hc.Embedding(50, 8), hc.Flatten(), hc.Linear(24, 50))
    >>> f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=(3,))
    >>> words, following = np.array([[4, 8, 15], [16, 23, 42]]), np.array([16, 8])
    >>> grad = f.value_and_grad(f.init(), words, following)[1]
    >>> int(f.views(grad)["0.weight"].any(axis=1).sum())  # rows that were looked up
    6
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        self.num_embeddings = rows = _check.integer("num_embeddings", num_embeddings, 1)
        self.embedding_dim = _check.integer("embedding_dim", embedding_dim, 1)
        if padding_idx is not None:
            given = _check.integer("padding_idx", padding_idx, -rows)
            if given >= rows:
                raise OptionError.about("padding_idx", f"{-rows}..{rows - 1}", given)
            padding_idx = given % rows
        self.padding_idx = padding_idx

    def _build(self, builder: Builder, x: int, path: str) -> int:
        sizes = self.num_embeddings, self.embedding_dim
        make = builder.engine.make_embedding
        return builder.call(self, x, lambda: make(*sizes, self.padding_idx, path))

    def _arguments(self) -> tuple[str, ...]:
        sizes = str(self.num_embeddings), str(self.embedding_dim)
        padding = () if self.padding_idx is None else (f"padding_idx={self.padding_idx}",)
        return (*sizes, *padding)
