"""The names, the order of the arguments and the defaults that other people's scripts rely on."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

import hesscore as hc
import problems

# Other arguments may follow, and `*` may come before those that have a default.
SIGNATURES = """
Objective(net, loss, input_shape)
Objective.init(seed=0, scheme="default", dtype="float32", xp=numpy)
Objective.views(w)
Objective.flatten(tensors)
Objective.predict(w, x)
Objective.loss(w, x, y)
Objective.value_and_grad(w, x, y)
Objective.hvp(w, x, y, v)
Objective.ggnvp(w, x, y, v)
Objective.fishervp(w, x, y, v, kind="empirical", samples=1, seed=0)
Objective.jvp(w, x, v)
Objective.vjp(w, x, u)
Objective.diag(w, x, y, kind, samples=1, seed=0)
Objective.evaluate(w, x, y, names)
Objective.per_sample_grads(w, x, y)
Objective.grad_moments(w, x, y)
Objective.kron(w, x, y, kind)
Objective.quadratic_form(w, x, y, v, kind)
Objective.hessian(w, x, y)
Objective.ggn(w, x, y)
Objective.fisher(w, x, y)
Objective.summary()
Objective.supports()
cg(A, b, x0=None, rtol=1e-5, atol=0.0, maxiter=None, M=None, callback=None, stop="residual")
minres(A, b)
lanczos(A, k)
eigsh(A, k, which)
trust_region(A, g, radius)
spectral_density(A)
trace(A)
identity(n)
Optimizer(f, method)
Optimizer.step(w, x, y)
Optimizer.run(w, X, Y, batch_size=128, epochs=5, shuffle_seed=0, on_step=None, progress=True)
Optimizer.state_dict()
Optimizer.load_state_dict(state)
save(path, f, w, opt=None)
load(path)
from_onnx(path)
devices()
show_config()
set_num_threads(n)
testing.check_derivatives(f, w, x, y)
datasets.digits()
datasets.mnist(path=None)
datasets.fashion_mnist(path=None)
datasets.cifar10(path=None)
datasets.tinyshakespeare(path=None)
Linear(in_features, out_features, bias=True)
Conv1d(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True)
Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True)
ConvTranspose2d(in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0)
MaxPool2d(kernel_size, stride=None, padding=0)
AvgPool2d(kernel_size, stride=None, padding=0)
AdaptiveAvgPool2d(output_size)
GlobalAvgPool2d()
Flatten()
Dropout(p)
BatchNorm1d(num_features)
BatchNorm2d(num_features)
LayerNorm(normalized_shape)
Embedding(num_embeddings, embedding_dim)
Identity()
LeakyReLU(negative_slope)
ELU(alpha)
CELU(alpha)
GELU(approximate)
Residual(layers, shortcut=None)
CrossEntropyLoss(weight=None, ignore_index=None, label_smoothing=0.0)
MSELoss()
BCEWithLogitsLoss(pos_weight=None)
GaussianNLLLoss()
PoissonNLLLoss()
HuberLoss(delta)
Graph.input(shape)
Graph.__call__(layer, x)
Graph.add(nodes)
Graph.output(node)
""".strip().splitlines()


def find(name):
    value = hc
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("line", SIGNATURES)
def test_arguments_have_their_names_order_and_defaults(line):
    call = ast.parse(line, mode="eval").body
    found = inspect.signature(find(ast.unparse(call.func))).parameters
    names = [n for n in found if n != "self"]
    wanted = [a.id for a in call.args] + [k.arg for k in call.keywords]
    assert names[: len(wanted)] == wanted
    for keyword in call.keywords:
        default = found[keyword.arg].default
        expected = ast.unparse(keyword.value)
        assert default is np if expected == "numpy" else default == ast.literal_eval(expected)
    for name in (a.id for a in call.args):
        assert found[name].kind is not inspect.Parameter.KEYWORD_ONLY


ACTIVATIONS = [
    "ReLU", "LeakyReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Tanh", "Sigmoid",
    "Softplus", "LogSigmoid", "Hardtanh", "ReLU6", "Hardswish", "Hardsigmoid", "Softsign",
    "Sin", "Square", "Exp",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    f = hc.Objective(hc.Sequential(hc.Linear(2, 3), getattr(hc, name)()), hc.MSELoss())
    assert np.isfinite(f.predict(f.init(), np.ones((2, 2), np.float32))).all()


def test_errors_are_builtins_too():
    builtins = {
        "ShapeError": ValueError, "DTypeError": TypeError, "DeviceError": hc.Error,
        "LabelError": ValueError, "LayoutError": hc.Error, "UnsupportedError": NotImplementedError,
        "GraphError": ValueError, "NonFiniteError": ValueError, "OutOfMemoryError": MemoryError,
        "CheckpointError": OSError,
    }  # fmt: skip
    for name, builtin in builtins.items():
        assert issubclass(getattr(hc, name), (hc.Error, builtin))
        assert issubclass(getattr(hc, name), builtin)


def test_the_model_of_the_design():
    net = hc.Sequential(
        hc.Conv2d(1, 6, 5, padding=2), hc.Tanh(), hc.AvgPool2d(2),
        hc.Conv2d(6, 16, 5), hc.Tanh(), hc.AvgPool2d(2),
        hc.Flatten(), hc.Linear(400, 120), hc.Tanh(), hc.Linear(120, 84), hc.Tanh(),
        hc.Linear(84, 10),
    )  # fmt: skip
    f = hc.Objective(net, loss=hc.CrossEntropyLoss(), input_shape=(1, 28, 28))
    assert f.num_params == 61_706
    assert next(iter(f.layout.items())) == ("0.weight", (0, (6, 1, 5, 5)))


def test_layers_and_containers_take_their_arguments_in_order():
    net = hc.Sequential(
        *(hc.Conv2d(2, 4, 3, 1, 1, 1, 2, False), hc.BatchNorm2d(4), hc.MaxPool2d(2, 1, 1)),
        *(hc.ConvTranspose2d(4, 4, 2, 2, 0), hc.AvgPool2d(2, 2, 1), hc.SqueezeExcite(4, 2)),
        *(hc.Gate(hc.Identity()), hc.Residual(hc.Conv2d(4, 4, 1), shortcut=hc.Conv2d(4, 4, 1))),
        *(hc.Concat(hc.GELU("tanh"), hc.LeakyReLU(0.1)), hc.Parallel(hc.ELU(0.5), hc.Dropout(0.1))),
        *(hc.AdaptiveAvgPool2d(1), hc.GlobalAvgPool2d(), hc.Flatten(), hc.LayerNorm(8)),
    )
    f = hc.Objective(net, hc.MSELoss(), input_shape=(2, 4, 4))
    assert f.output_shape == (8,)
    text = hc.Sequential(
        hc.Embedding(5, 3), hc.Conv1d(4, 2, 3, 1, 0), hc.BatchNorm1d(2), hc.Flatten()
    )
    assert hc.Objective(text, hc.MSELoss(), input_shape=(4,)).output_shape == (2,)


def test_a_free_graph():
    g = hc.Graph()
    x = g.input((32,))
    h = g(hc.Linear(32, 64), x)
    g.output(g.add(h, g(hc.Tanh(), h)))
    assert hc.Objective(g, hc.MSELoss()).output_shape == (64,)


@pytest.fixture
def point():
    f = problems.mlp(4, 5, 3)
    return f, *problems.batch(f, 8, 4, classes=3)


def test_evaluation(point):
    f, w, x, y = point
    n, v = f.num_params, np.ones_like(w)
    value, grad = f.value_and_grad(w, x, y)
    assert isinstance(f.loss(w, x, y), float) and isinstance(value, float) and grad.shape == (n,)
    assert f.predict(w, x).shape == f.jvp(w, x, v).shape == (8, 3)
    assert f.vjp(w, x, np.ones((8, 3))).shape == (n,)
    for product in (f.hvp, f.ggnvp):
        assert product(w, x, y, np.stack([v, v])).shape == (2, n)
    for kind in ("empirical", "mc"):
        assert f.fishervp(w, x, y, v, kind, 2, 1).shape == (n,)
    kinds = [
        "hesscale",
        "hesscale_gn",
        "bl89",
        "ggn",
        "ggn_mc",
        "hessian",
        "hutchinson",
        "empirical_fisher",
    ]
    for kind in kinds:
        assert f.diag(w, x, y, kind, 2, 1).shape == (n,)
    several = f.evaluate(w, x, y, ("loss", "grad", *kinds))
    assert list(several) == ["loss", "grad", *kinds]
    assert f.per_sample_grads(w, x, y).shape == (8, n)
    assert isinstance(f.grad_moments(w, x, y), dict)
    for kind in ("mc", "exact", "empirical"):
        factors = f.kron(w, x, y, kind)
        assert factors.solve(v, 0.1).shape == (n,) and factors.dense().shape == (n, n)
    forms = [f.quadratic_form(w, x, y, v, kind) for kind in ("hessian", "ggn", "gap")]
    assert forms[0] - forms[1] == pytest.approx(forms[2])
    assert f.loss(w, x, y, sample_weight=np.ones(8), train=True) == pytest.approx(value)


def test_parameters(point):
    f, w, *_ = point
    for scheme in ["default", "xavier", "he", "lecun", "orthogonal", "hessian"]:
        assert f.init(1, scheme, "float64", np).shape == (f.num_params,)
    assert list(f.views(w)) == list(f.layout) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert np.array_equal(f.flatten(f.views(w)), w)


def test_operators(point):
    from scipy.sparse.linalg import LinearOperator

    f, w, x, y = point
    n = f.num_params
    for A in (f.hessian(w, x, y), f.ggn(w, x, y), f.fisher(w, x, y)):
        assert isinstance(A, LinearOperator) and A.shape == (n, n)
        assert A.matmat(np.ones((n, 2))).shape == (n, 2)
        assert A.dense().shape == (n, n) and A.diagonal().shape == (n,)
        assert A.block("0.weight").shape == (20, 20)
        for method in ("hutchinson", "hutchpp", "xtrace"):
            A.trace(20, method=method, seed=1)
    B = 2 * f.hessian(w, x, y) - f.ggn(w, x, y) + 0.1 * hc.identity(n)
    assert (B @ np.ones(n)).shape == (n,)
    batches = [(x[:4], y[:4]), (x[4:], y[4:])]
    np.testing.assert_allclose(f.ggn(w, batches) @ np.ones(n), f.ggn(w, x, y) @ np.ones(n))


def test_solvers(point):
    f, w, x, y = point
    A, b = f.ggn(w, x, y) + 0.1 * hc.identity(f.num_params), f.value_and_grad(w, x, y)[1]
    _, report = hc.cg(A, b, None, rtol=1e-4, atol=0.0, maxiter=9, M=None, callback=None,
                      stop="martens")  # fmt: skip
    for name in ("status", "message", "iterations", "residual", "history"):
        assert hasattr(report, name)
    assert hc.minres(A, b)[1].status == "converged"
    assert hc.trust_region(A, b, 0.5)[0].shape == b.shape
    hc.lanczos(A, 3)
    hc.eigsh(A, 2, "LA")
    hc.spectral_density(A)
    hc.trace(A)


METHODS = [
    "sgd", "adam", "adamw", "adahessian", "adahesscale", "adahesscale_gn", "bl89",
    "chainrule_adam", "sophia_g", "sophia_h", "newton", "hessian_free", "gauss_newton",
    "trust_region", "kfac", "lbfgs", "replica_newton",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_optimizers(point, method):
    f, w, x, y = point
    opt = hc.Optimizer(f, method)
    info = opt.step(w, x, y)
    for name in ["loss", "step", "accepted", "damping", "rho", "iterations"]:
        assert hasattr(info, name)
    opt.run(w, x, y, 4, 1, 0, None, False)
    opt.load_state_dict(opt.state_dict())
    assert len(hc.optim.methods[method]) <= 10
    with pytest.raises(hc.OptionError):
        hc.Optimizer(f, method, learning_rates=1)


def test_utilities(point, capsys):
    pytest.importorskip("matplotlib").use("Agg")
    f, w, x, y = point
    assert hc.devices()
    hc.show_config()
    hc.set_num_threads(hc.get_num_threads())
    assert capsys.readouterr().out
    hc.testing.check_derivatives(f, w, x, y)
    assert {"landscape", "spectrum", "curvature", "history"} <= set(dir(hc.plot))
