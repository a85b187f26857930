"""The same problems in JAX float64, differentiated by JAX: the reference we did not write."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from .spec import Data, Net, Spec, make_data

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_enable_async_dispatch", False)

ACTIVATIONS = {
    "ReLU": jax.nn.relu,
    "LeakyReLU": jax.nn.leaky_relu,
    "ELU": jax.nn.elu,
    "SELU": jax.nn.selu,
    "CELU": jax.nn.celu,
    "GELU": lambda x, approximate="none": jax.nn.gelu(x, approximate=approximate == "tanh"),
    "SiLU": jax.nn.silu,
    "Mish": jax.nn.mish,
    "Tanh": jnp.tanh,
    "Sigmoid": jax.nn.sigmoid,
    "Softplus": jax.nn.softplus,
    "LogSigmoid": jax.nn.log_sigmoid,
    "Hardtanh": jax.nn.hard_tanh,
    "ReLU6": jax.nn.relu6,
    "Hardswish": jax.nn.hard_swish,
    "Hardsigmoid": jax.nn.hard_sigmoid,
    "Softsign": jax.nn.soft_sign,
    "Sin": jnp.sin,
    "Square": jnp.square,
    "Exp": jnp.exp,
}


def apply(net: Net, w, x):
    """Network output at the flat parameter vector ``w``."""
    values: list = []
    names = {i: name for name, i in net.inputs.items()}
    for i, node in enumerate(net.nodes):
        src = [values[s] for s in node.sources]
        if node.kind == "input":
            y = jnp.asarray(x[names[i]])
        elif node.kind == "linear":
            weight, bias = net.views(w, node)
            y = src[0] @ weight.T if bias is None else src[0] @ weight.T + bias
        elif node.kind == "act":
            y = ACTIVATIONS[node.args["name"]](src[0], *node.args.get("args", ()))
        elif node.kind == "add":
            y = sum(src[1:], start=src[0])
        elif node.kind == "multiply":
            y = src[0] * src[1]
        elif node.kind == "concat":
            y = jnp.concatenate(src, node.args["axis"])
        elif node.kind == "flatten":
            y = src[0].reshape(src[0].shape[0], -1)
        else:
            y = src[0]
        values.append(y)
    return values[-1]


def reduced_loss(loss: dict, z, y, sample_weight=None):
    """The loss over the batch; the conventions are those of ``oracle.losses``."""
    n = z.shape[0]
    s = jnp.ones(n) if sample_weight is None else jnp.asarray(sample_weight)
    if loss["name"] == "CrossEntropyLoss":
        terms, weights = _cross_entropy(loss, z, y)
    else:
        terms = _terms(loss, z, y).reshape(n, -1)
        weights = jnp.ones(terms.shape)
    total = (s[:, None] * terms).sum()
    mean = loss.get("reduction", "mean") == "mean"
    return total / (s[:, None] * weights).sum() if mean else total


def _cross_entropy(loss, z, y):
    n, c = z.shape[:2]
    log_p = jax.nn.log_softmax(z.reshape(n, c, -1), axis=1)
    weight = jnp.ones(c) if loss.get("weight") is None else jnp.asarray(loss["weight"])
    eps = loss.get("label_smoothing", 0.0)
    smooth = -(eps / c) * (weight[:, None] * log_p).sum(1)
    if loss.get("soft"):
        hard = -(weight[:, None] * y.reshape(log_p.shape) * log_p).sum(1)
        return (1 - eps) * hard + smooth, jnp.ones(hard.shape)
    labels = y.reshape(n, -1)
    used = labels != loss.get("ignore_index", -(2**62))
    safe = jnp.where(used, labels, 0)
    hard = -weight[safe] * jnp.take_along_axis(log_p, safe[:, None], 1)[:, 0]
    return jnp.where(used, (1 - eps) * hard + smooth, 0.0), jnp.where(used, weight[safe], 0.0)


def _terms(loss, z, y):
    name = loss["name"]
    if name == "MSELoss":
        return (z - y) ** 2
    if name == "BCEWithLogitsLoss":
        pos = loss.get("pos_weight")
        pos = 1.0 if pos is None else jnp.asarray(pos)
        if jnp.size(pos) > 1:
            pos = jnp.reshape(pos, z.shape[1:])
        return -(pos * y * jax.nn.log_sigmoid(z) + (1 - y) * jax.nn.log_sigmoid(-z))
    if name == "GaussianNLLLoss":
        mean, log_var = jnp.split(z, 2, axis=1)
        return 0.5 * (log_var + (y - mean) ** 2 / jnp.exp(log_var))
    if name == "PoissonNLLLoss":
        return jnp.exp(z) - y * z
    delta, r = loss.get("delta", 1.0), jnp.abs(z - y)
    return jnp.where(r < delta, 0.5 * r**2, delta * (r - 0.5 * delta))


class JaxReference:
    """Loss, gradient, Hessian, logits' Jacobian and the loss's Hessian in the logits, by JAX."""

    def __init__(self, spec: Spec, data: Data | None = None):
        net = Net(spec)
        data = data or make_data(spec, net)
        n, k = spec.batch, math.prod(net.output.shape)

        def outputs(w):
            return apply(net, w, data.x)

        def loss_of(z):
            return reduced_loss(spec.loss, z, data.y, data.sample_weight)

        @jax.jit
        def everything(w):
            z = outputs(w)
            flat = z.reshape(n * k)
            loss, grad = jax.value_and_grad(lambda w: loss_of(outputs(w)))(w)
            hess = jax.jacfwd(jax.grad(lambda w: loss_of(outputs(w))))(w)
            jac = jax.jacobian(lambda w: outputs(w).reshape(n * k))(w)
            inner = jax.hessian(lambda f: loss_of(f.reshape(z.shape)))(flat)
            return z, loss, grad, hess, jac, inner

        result = [np.array(r) for r in everything(jnp.asarray(data.w))]
        self.z, loss, self.grad, self.hessian, self.jacobian, self.loss_hessian = result
        self.loss = float(loss)
        self.ggn = self.jacobian.T @ self.loss_hessian @ self.jacobian
