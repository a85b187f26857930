"""Kronecker factors of linear layers against BackPACK's, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

torch = pytest.importorskip("torch")
backpack = pytest.importorskip("backpack")
extensions = pytest.importorskip("backpack.extensions")


def make(module):
    return module.Sequential(module.Linear(5, 7), module.Tanh(), module.Linear(7, 6), module.ReLU(),
                             module.Linear(6, 4))  # fmt: skip


@pytest.fixture(autouse=True)
def double():
    """Some of BackPACK's extensions make matrices of the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(params=["cross-entropy", "mean squared error", "squared error"])
def problem(request):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(9, 5))
    if request.param == "cross-entropy":
        ours, theirs, y = hc.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(), np.arange(9) % 4
    else:
        reduction = "sum" if request.param == "squared error" else "mean"
        ours, theirs = hc.MSELoss(reduction=reduction), torch.nn.MSELoss(reduction=reduction)
        y = rng.normal(size=(9, 4))
    f = hc.Objective(make(hc), ours)
    w = rng.normal(size=f.num_params) * 0.5

    def read(extension, field):
        """Their factors of each parameter, G first; A where there is one."""
        net = backpack.extend(make(torch.nn))
        torch.nn.utils.vector_to_parameters(torch.from_numpy(w), net.parameters())
        loss = backpack.extend(theirs)(net(torch.from_numpy(x)), torch.from_numpy(y))
        with backpack.backpack(extension):
            loss.backward()
        return [[m.numpy() for m in getattr(p, field)] for p in net.parameters()]

    return f, (w, x, y), read


def check(K, theirs, limit):
    for (name, (a, g)), found in zip(K.factors.items(), theirs, strict=True):
        expected = [g, a] if name.endswith("weight") else [g]
        for one, other in zip(expected, found, strict=True):
            assert np.abs(one - other).max() <= limit * np.abs(one).max(), name


def test_exact_factors_are_theirs(problem):
    f, point, read = problem
    K = f.kron(*point, kind="exact", bias="separate")
    check(K, read(extensions.KFLR(), "kflr"), 1e-12)


def test_recursive_factors_are_theirs(problem):
    f, point, read = problem
    K = f.kron(*point, kind="kfra", bias="separate")
    check(K, read(extensions.KFRA(), "kfra"), 1e-12)


@pytest.mark.statistics
def test_sampled_factors_are_theirs(problem):
    """Both are unbiased for the exact ones."""
    f, point, read = problem
    torch.manual_seed(0)
    theirs = read(extensions.KFAC(mc_samples=20000), "kfac")
    exact = f.kron(*point, kind="exact", bias="separate")
    check(exact, theirs, 0.05)
    check(exact, [[np.asarray(m) for m in (g, a)][: 2 if n.endswith("weight") else 1]
                  for n, (a, g) in f.kron(*point, samples=20000, bias="separate").factors.items()],
          0.05)  # fmt: skip
