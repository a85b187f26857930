"""ResNet-18 and a net of EfficientNet's blocks: every quantity in both modes, checked in float64
against each other: differences of the loss and the gradient, and forms of the Jacobian's columns.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hesscore as hc
from hesscore._parameters import diag_kinds

N, CLASSES = 2, 10
OF_SAMPLES = ("ggn", "ggn_mc", "empirical_fisher")
NETS = {
    "resnet18": (hc.models.resnet18_cifar, (3, 12, 12)),
    "efficient": (lambda **kw: hc.models.efficient_block_net(width=8, **kw), (3, 20, 16)),
}
CASES = [
    (name, norm, train)
    for name in NETS
    for norm, modes in (("batch", (False, True)), ("group", (False,)), ("none", (True,)))
    for train in modes
]


class Point:
    """A net with its data, in float64, and what the logits say."""

    def __init__(self, name, norm, train):
        make, shape = NETS[name]
        self.f = hc.Objective(make(norm=norm), hc.CrossEntropyLoss(), input_shape=shape)
        rng = np.random.default_rng(7)
        self.w = self.f.init(seed=3, dtype="float64")
        self.w += 0.01 * rng.normal(size=self.w.shape)
        for _ in range(8):  # running statistics that are not far from the batch's
            self.f.update_buffers(self.w, rng.normal(size=(4, *shape)))
        self.x, self.y = rng.normal(size=(N, *shape)), rng.integers(0, CLASSES, size=N)
        self.train = train
        self.coupled = train and norm == "batch"
        z = self.f.predict(self.w, self.x, train=train)
        self.p = np.exp(z - z.max(1, keepdims=True))
        self.p /= self.p.sum(1, keepdims=True)

    def at(self, w=None):
        return (self.w if w is None else w), self.x, self.y

    def jvp(self, v):
        return self.f.jvp(self.w, self.x, v, train=self.train)

    def softmax_form(self, dz):
        """dz' H_L dz of the mean loss."""
        return ((self.p * dz**2).sum(1) - (self.p * dz).sum(1) ** 2).sum() / N

    def fisher_form(self, dz, labels):
        """The mean of (g_n' v)^2 with the gradients at these labels."""
        return (((self.p - np.eye(CLASSES)[labels]) * dz).sum(1) ** 2).sum() / N

    def drawn_forms(self, dz):
        """The Fisher's form for all labels that could have been drawn."""
        labels = itertools.product(range(CLASSES), repeat=N)
        return np.array([self.fisher_form(dz, list(k)) for k in labels])


@pytest.fixture(scope="module", params=CASES, ids=lambda c: "-".join(map(str, c)))
def point(request):
    return Point(*request.param)


def test_gradient_and_products_are_differences(point):
    f, on = point.f, {"train": point.train}
    loss, grad = f.value_and_grad(*point.at(), **on)
    assert loss == pytest.approx(f.loss(*point.at(), **on), rel=1e-14)
    v = grad / np.linalg.norm(grad)
    eps = 5e-7
    ends = [f.value_and_grad(*point.at(point.w + s * eps * v), **on) for s in (1, -1)]
    assert (ends[0][0] - ends[1][0]) / (2 * eps) == pytest.approx(grad @ v, rel=1e-6)
    hv = f.hvp(*point.at(), v, **on)
    difference = (ends[0][1] - ends[1][1]) / (2 * eps)
    assert np.linalg.norm(difference - hv) <= 1e-5 * np.linalg.norm(hv)


def test_forms_of_the_products(point):
    f, on = point.f, {"train": point.train}
    v = np.random.default_rng(1).normal(size=f.num_params)
    dz = point.jvp(v)
    u = np.random.default_rng(2).normal(size=dz.shape)
    back = f.vjp(point.w, point.x, u, **on)
    assert back @ v == pytest.approx((u * dz).sum(), rel=1e-9)
    gv = f.ggnvp(*point.at(), v, **on)
    assert v @ gv == pytest.approx(point.softmax_form(dz), rel=1e-9)
    assert back @ gv == pytest.approx(f.ggnvp(*point.at(), back, **on) @ v, rel=1e-8)
    fv = f.fishervp(*point.at(), v, **on)
    assert v @ fv == pytest.approx(point.fisher_form(dz, point.y), rel=1e-9)
    mc = v @ f.fishervp(*point.at(), v, kind="mc", seed=5, **on)
    assert np.abs(point.drawn_forms(dz) / mc - 1).min() < 1e-9
    gap = f.quadratic_form(*point.at(), v, kind="gap", **on)
    hessian = f.quadratic_form(*point.at(), v, **on)
    assert gap == pytest.approx(hessian - v @ gv, abs=1e-9 * abs(v @ gv))


def test_diagonals(point):
    f, on = point.f, {"train": point.train}
    # Of a convolution the Hessian takes a sweep for each weight.
    left_out = {"hessian", *(OF_SAMPLES if point.coupled else ())}
    kinds = [k for k in diag_kinds if k not in left_out]
    found = f.evaluate(*point.at(), ("loss", "grad", "predict", *kinds), seed=5, **on)
    for kind in kinds:
        assert np.isfinite(found[kind]).all(), kind
        assert np.count_nonzero(found[kind]) > 0.5 * f.num_params, kind
    rng = np.random.default_rng(4)
    names = [*rng.choice(list(f.layout), 4, replace=False), *list(f.layout)[-2:]]
    possible = None
    for name in names:
        offset, shape = f.layout[name]
        i = offset + int(rng.integers(np.prod(shape)))
        unit = np.zeros_like(point.w)
        unit[i] = 1
        dz = point.jvp(unit)
        form = point.softmax_form(dz)
        if name.startswith(list(f.layout)[-1].partition(".")[0] + "."):  # the last layer: exact
            assert found["hesscale"][i] == pytest.approx(form, rel=1e-9), name
            assert found["hesscale_gn"][i] == pytest.approx(form, rel=1e-9), name
        if point.coupled:
            continue
        assert found["ggn"][i] == pytest.approx(form, rel=1e-8), name
        empirical = point.fisher_form(dz, point.y)
        assert found["empirical_fisher"][i] == pytest.approx(empirical, rel=1e-8), name
        fits = np.abs(point.drawn_forms(dz) - found["ggn_mc"][i]) <= 1e-7 * found["ggn_mc"][i]
        possible = fits if possible is None else possible & fits
    assert point.coupled or possible.any()  # one draw of labels explains all


def test_refusals_name_all_layers(point):
    f = point.f
    norms = [r for r in f.supports() if r["layer"].startswith("BatchNorm")]
    for kind in OF_SAMPLES if point.coupled else ():
        with pytest.raises(hc.UnsupportedError) as caught:
            f.diag(*point.at(), kind=kind, train=True)
        assert len(norms) >= 10
        assert all(f"'{row['name']}'" in str(caught.value) for row in norms)
