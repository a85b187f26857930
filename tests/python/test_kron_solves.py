"""What is made of Kronecker factors: EKFAC, damped inverses, averages; and bad input."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

import hesscore as hc
import problems
from kron_cases import LAYERS, check, close, network, point
from kron_reference import KroneckerReference
from oracle_layers import Spec


@pytest.mark.parametrize("layer", ["conv", "conv in groups", "transposed", "linear at positions",
                                   "layer norm"])  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_corrected_is_the_exact_diagonal_in_the_eigenbasis(layer, weighted):
    """EKFAC, George et al. 2018. Samples enough to have eigenvalues apart."""
    shape, kind, args = LAYERS[layer]
    shape = tuple(min(n, 4) for n in shape)
    spec = network(shape, kind, args, {"name": "CrossEntropyLoss"}, 30, weighted)
    ref = KroneckerReference(spec)
    f, at, kw = point(spec, ref)
    K = f.kron(*at, kind="exact", corrected=True, **kw)
    E = ref.corrected()
    D = K.dense()
    for b in ref.blocks[:-1]:
        own = np.ix_(b.index.ravel(), b.index.ravel())
        assert close(D[own], E[own], 1e-7)
    assert close(K.trace(), np.trace(f.ggn(*at, **kw).dense()))
    assert close(K.diagonal(), np.diag(D))
    v = np.random.default_rng(0).normal(size=(2, f.num_params))
    damped = D + 0.1 * np.eye(len(D))
    assert close(K.solve(v, 0.1), np.linalg.solve(damped, v.T).T, 1e-9)
    assert close(K.logdet(0.1), np.linalg.slogdet(damped)[1], 1e-9)


def test_corrected_embeddings_and_shared_layers():
    table = {"rows": 4, "out": 3, "padding_idx": 0, "layer": "t"}
    shared = {"out": 3, "layer": "l"}
    nodes = (("embedding", ("x",), table), ("embedding", ("u",), table), ("add", (0, 1), {}),
             ("linear", (2,), shared), ("act", (3,), {"name": "Tanh"}), ("linear", (4,), shared),
             ("flatten", (5,), {}))  # fmt: skip
    spec = Spec(4, 40, {"x": (2,), "u": (2,)}, {"name": "CrossEntropyLoss"}, nodes,
                integers={"x": 4, "u": 4})  # fmt: skip
    f, at, _, ref = check(spec)
    assert close(f.kron(*at, kind="exact", corrected=True).dense(), ref.corrected(), 1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inverse_is_a_preconditioner_of_the_engine(dtype):
    """One iteration where the factors are exact, and those of the dense inverse elsewhere."""
    f = hc.Objective(hc.Linear(6, 4), hc.MSELoss())
    w, x, y = problems.batch(f, 100, 6, dtype=dtype)
    b = np.random.default_rng(0).normal(size=f.num_params).astype(dtype)
    A = f.ggn(w, x, y) + 1e-2 * hc.identity(f.num_params)
    M = f.kron(w, x, y, kind="exact").inverse(1e-2, pi=False)
    assert M.dtype == dtype and M.shape == (f.num_params, f.num_params)
    step, report = hc.cg(A, b, rtol=1e-4, M=M)
    assert report.converged and report.iterations == 1
    assert np.linalg.norm(A @ step - b) < 2e-4 * np.linalg.norm(b)
    f = problems.mlp(6, 9, 4)
    w, x, y = problems.batch(f, 100, 6, classes=4, dtype=dtype)
    A = f.ggn(w, x, y) + 1e-2 * hc.identity(f.num_params)
    b = f.value_and_grad(w, x, y)[1]
    for pi in (True, False):
        M = f.kron(w, x, y, kind="exact").inverse(1e-2, pi)
        step, _ = hc.cg(A, b, rtol=0.0, maxiter=5, M=M)
        assert close(step, hc.cg(A, b, rtol=0.0, maxiter=5, M=M.dense())[0], 1e-3)


def test_each_block_is_damped_by_itself():
    """Martens & Grosse 2015, section 6.3; with a bias apart, G is shared and pi is not."""
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 8, 4, classes=3)
    K = f.kron(w, x, y, bias="separate")
    inverse, at = np.zeros((len(w), len(w))), 0
    for A, G in K.factors.values():
        pi = np.sqrt(np.trace(A) / len(A) / (np.trace(G) / len(G)))
        left = np.linalg.inv(G + np.sqrt(0.3) / pi * np.eye(len(G)))
        block = np.kron(left, np.linalg.inv(A + np.sqrt(0.3) * pi * np.eye(len(A))))
        own = slice(at, at := at + len(block))
        inverse[own, own] = block
    assert at == len(w) and close(K.inverse(0.3).dense(), inverse)


def test_update_averages_and_leaves_inverses_alone():
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 8, 4, classes=3)
    K, L = f.kron(w, x, y), f.kron(w, x, y, seed=1)
    expected = {n: [0.9 * p + 0.1 * q for p, q in zip(F, L.factors[n], strict=True)]
                for n, F in K.factors.items()}  # fmt: skip
    v = np.ones(f.num_params)
    M, kept = K.inverse(0.1), K.solve(v, 0.1)
    K.update(L, 0.9)
    for name, factor in K.factors.items():
        assert all(close(p, q) for p, q in zip(factor, expected[name], strict=True))
    assert np.array_equal(M @ v, kept)
    assert not close(K.solve(v, 0.1), kept, 1e-6)
    assert close(K.solve(v, 0.1, pi=False),
                 np.linalg.solve(K.dense() + 0.1 * np.eye(len(v)), v), 1e-9)  # fmt: skip
    other = problems.mlp(4, 6, 3)
    at = problems.batch(other, 8, 4, classes=3)
    with pytest.raises(hc.StateError, match="same layers"):
        K.update(other.kron(*at), 0.5)
    with pytest.raises(hc.UnsupportedError, match="eigenbases"):
        K.update(f.kron(w, x, y, corrected=True), 0.5)
    with pytest.raises(hc.OptionError, match="decay"):
        K.update(L, 1.5)


def test_bad_arguments_are_named():
    f = problems.mlp(4, 5, 3)
    w, x, y = problems.batch(f, 8, 4, classes=3)
    for option, value in (("kind", "exakt"), ("approximation", "sum"), ("bias", "none"),
                          ("samples", 0), ("seed", -1), ("corrected", "yes")):  # fmt: skip
        with pytest.raises(hc.OptionError) as error:
            f.kron(w, x, y, **{option: value})
        assert error.value.arg == option
    with pytest.raises(hc.ShapeError, match="w"):
        f.kron(w[:-1], x, y)
    with pytest.raises(hc.LabelError):
        f.kron(w, x, y + 5)
    with pytest.raises(hc.NonFiniteError):
        f.kron(w * np.nan, x, y)
    K = f.kron(w, x[:1], y[:1])
    for damping in (-1.0, np.nan, "much"):
        with pytest.raises(hc.OptionError, match="damping"):
            K.inverse(damping)
    for pi in (True, False):
        with pytest.raises(hc.OptionError, match=r"damping.*block '0'"):
            K.solve(w, 0.0, pi=pi)
    with pytest.raises(hc.OptionError, match="damping"):
        K.logdet(0.0)
    with pytest.raises(hc.ShapeError):
        K.solve(w[:-1], 0.1)
