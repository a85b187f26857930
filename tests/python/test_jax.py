"""The engine against JAX itself, float64, without any reference of ours between them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

from oracle import Net, make_data, random_graph
from oracle.build import objective
from oracle.compare import relative_error
from oracle.jax_net import JaxReference


@pytest.mark.parametrize("seed", range(10_000, 10_030))
def test_graph_equals_jax(seed):
    spec = random_graph(seed)
    data = make_data(spec, Net(spec))
    theirs = JaxReference(spec, data)
    f = objective(spec)
    x = data.x if len(data.x) > 1 else data.x["x"]
    kw = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    point = data.w, x, data.y
    loss, grad = f.value_and_grad(*point, **kw)
    pairs = {
        "predict": (f.predict(data.w, x), theirs.z),
        "loss": (loss, theirs.loss),
        "grad": (grad, theirs.grad),
        "hessian": (f.hessian(*point, **kw).dense(), theirs.hessian),
        "ggn": (f.ggn(*point, **kw).dense(), theirs.ggn),
        "diag ggn": (f.diag(*point, kind="ggn", **kw), np.diag(theirs.ggn)),
    }
    scale = float(np.abs(theirs.jacobian).sum())
    for name, (got, expected) in pairs.items():
        assert relative_error(got, expected, 1e-3 * scale) <= 1e-10, (name, spec)
