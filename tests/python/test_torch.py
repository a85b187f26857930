"""Losses and their options against PyTorch, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

torch = pytest.importorskip("torch")
nn = torch.nn.functional

LABELS = np.array([2, 0, 1, 1, 3, 0])
WEIGHT = [0.5, 1.0, 2.0, 1.5]


def both(loss, theirs, y, outputs=4):
    """Loss and gradient of a linear layer, by us and by PyTorch."""
    f = hc.Objective(hc.Linear(3, outputs), loss)
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=f.num_params), rng.normal(size=(len(y), 3))
    value, grad = f.value_and_grad(w, x, y)
    p = torch.tensor(w, requires_grad=True)
    z = torch.tensor(x) @ p[: 3 * outputs].reshape(outputs, 3).T + p[3 * outputs :]
    other = theirs(z, torch.tensor(y))
    other.backward()
    assert value == pytest.approx(other.item(), rel=1e-13)
    np.testing.assert_allclose(grad, p.grad.numpy(), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"weight": WEIGHT},
        {"weight": WEIGHT, "label_smoothing": 0.1},
        {"ignore_index": 1},
        {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_cross_entropy(options, reduction):
    theirs = dict(options)
    if "weight" in options:
        theirs["weight"] = torch.tensor(WEIGHT, dtype=torch.float64)
    both(
        hc.CrossEntropyLoss(**options, reduction=reduction),
        lambda z, y: nn.cross_entropy(z, y, reduction=reduction, **theirs),
        LABELS,
    )
    if "ignore_index" in options:
        return
    soft = np.random.default_rng(1).dirichlet(np.ones(4), size=6)
    both(
        hc.CrossEntropyLoss(**options, reduction=reduction),
        lambda z, y: nn.cross_entropy(z, y, reduction=reduction, **theirs),
        soft,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_others(reduction):
    y = np.random.default_rng(2).uniform(size=(6, 4))
    pairs = [
        (hc.MSELoss(reduction=reduction), nn.mse_loss, {}),
        (hc.BCEWithLogitsLoss(reduction=reduction), nn.binary_cross_entropy_with_logits, {}),
        (
            hc.BCEWithLogitsLoss(pos_weight=WEIGHT, reduction=reduction),
            nn.binary_cross_entropy_with_logits,
            {"pos_weight": torch.tensor(WEIGHT, dtype=torch.float64)},
        ),
        (hc.PoissonNLLLoss(reduction=reduction), nn.poisson_nll_loss, {"log_input": True}),
        (hc.HuberLoss(0.4, reduction=reduction), nn.huber_loss, {"delta": 0.4}),
    ]
    for ours, theirs, kw in pairs:
        both(ours, lambda z, t, theirs=theirs, kw=kw: theirs(z, t, reduction=reduction, **kw), y)
    both(
        hc.GaussianNLLLoss(reduction=reduction),
        lambda z, t: nn.gaussian_nll_loss(z[:, :2], t, z[:, 2:].exp(), reduction=reduction),
        y[:, :2].copy(),
    )
