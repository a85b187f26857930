"""PyTorch on the GPU: eager, layer by layer as published tools work, and compiled by hand.

BackPACK's rows appear where it is installed.
"""

from __future__ import annotations

import sys

import torch
from common import (
    BETA1,
    BETA2,
    CG_ITERATIONS,
    DAMPING,
    EPS,
    LR,
    Clock,
    cases,
    problem,
)
from torch import nn
from torch.func import functional_call, jvp, vjp

PRECISIONS = {"fp32": "highest", "tf32": "high"}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def network(given) -> nn.Sequential:
    layers: list[nn.Module] = []
    for weight, bias in given.layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1]).to(DEVICE)


def hesscale(w, x, y):
    """Loss, gradient and HesScale diagonal in one sweep; w = [weight, bias, weight, bias, ...]."""
    inputs = [x]
    for i in range(0, len(w) - 2, 2):
        inputs.append(torch.tanh(torch.addmm(w[i + 1], inputs[-1], w[i].T)))
    z = torch.addmm(w[-1], inputs[-1], w[-2].T)
    p = torch.softmax(z, 1)
    g = (p - nn.functional.one_hot(y, z.shape[1])) / len(y)
    h = (p - p * p) / len(y)
    grads, diags = [], []
    for i, a in zip(range(len(w) - 2, -1, -2), reversed(inputs), strict=True):
        grads += [g.sum(0), g.T @ a]
        diags += [h.sum(0), h.T @ (a * a)]
        if i == 0:
            break
        slope, r = 1 - a * a, g @ w[i]
        g, h = slope * r, slope * slope * (h @ (w[i] * w[i])) - 2 * a * slope * r
    return nn.functional.cross_entropy(z, y), grads[::-1], diags[::-1]


def update(w, m, u, g, d, t):
    """Adam's, with the second moment of d, in place and one kernel list for each operation."""
    torch._foreach_lerp_(m, g, 1 - BETA1)
    torch._foreach_mul_(u, BETA2)
    torch._foreach_addcmul_(u, d, d, 1 - BETA2)
    c1, c2 = 1 - BETA1**t, 1 - BETA2**t
    size = torch._foreach_sqrt(torch._foreach_div(u, c2))
    torch._foreach_add_(size, EPS)
    torch._foreach_addcdiv_(w, m, size, -LR / c1)


def compiled_step(w, m, u, x, y):
    value, g, d = hesscale(w, x, y)
    update(w, m, u, g, d, 1)
    return value


def run_eager(case, precision: str) -> None:
    given = problem(case)
    net, clock = network(given), Clock("torch eager", case, precision, wait)
    x, y = torch.from_numpy(given.x).to(DEVICE), torch.from_numpy(given.y).to(DEVICE)
    loss = nn.CrossEntropyLoss()
    adam = torch.optim.Adam(net.parameters(), LR)

    def adam_step():
        adam.zero_grad()
        loss(net(x), y).backward()
        adam.step()

    clock.row("adam step", adam_step)
    w = [p.detach().clone() for p in net.parameters()]
    m, u = [torch.zeros_like(p) for p in w], [torch.zeros_like(p) for p in w]

    def hesscale_step():
        with torch.no_grad():
            compiled_step(w, m, u, x, y)

    clock.row("adahesscale step", hesscale_step)
    products(clock, net, given, x, y)
    try:
        backpack_rows(clock, given, x, y)
    except ImportError as error:
        clock.left_out("BackPACK", error)


def products(clock, net, given, x, y) -> None:
    names = [name for name, _ in net.named_parameters()]
    w = {name: p.detach() for name, p in net.named_parameters()}
    parts = [torch.from_numpy(a).to(DEVICE) for layer in given.split(given.v) for a in layer]
    v = dict(zip(names, parts, strict=True))

    def product(v):
        z, dz = jvp(lambda w: functional_call(net, w, (x,)), (w,), (v,))
        p = torch.softmax(z, 1)
        dg = p * (dz - (p * dz).sum(1, keepdim=True)) / len(y)
        return vjp(lambda w: functional_call(net, w, (x,)), w)[1](dg)[0]

    def solve():
        s = {k: torch.zeros_like(a) for k, a in v.items()}
        r, p = dict(v), dict(v)
        rr = sum((a * a).sum() for a in r.values())
        for _ in range(CG_ITERATIONS):
            q = {k: a + DAMPING * p[k] for k, a in product(p).items()}
            alpha = rr / sum((p[k] * q[k]).sum() for k in p)
            s = {k: s[k] + alpha * p[k] for k in p}
            r = {k: r[k] - alpha * q[k] for k in p}
            new = sum((a * a).sum() for a in r.values())
            p = {k: r[k] + new / rr * p[k] for k in p}
            rr = new
        return s

    with torch.no_grad():
        clock.row("ggnvp", lambda: product(v))
        clock.row("50 CG iterations on the GGN", solve, bundle=1)


def backpack_rows(clock, given, x, y) -> None:
    import backpack
    from backpack import extensions

    net = backpack.extend(network(given))
    loss = backpack.extend(nn.CrossEntropyLoss())

    def call():
        net.zero_grad()
        with backpack.backpack(extensions.DiagGGNMC(mc_samples=1)):
            loss(net(x), y).backward()

    clock.row("ggn_mc call", call)


def run_compiled(case, precision: str) -> None:
    given = problem(case)
    clock = Clock("torch compiled", case, precision, wait)
    x, y = torch.from_numpy(given.x).to(DEVICE), torch.from_numpy(given.y).to(DEVICE)
    w = [p.detach().clone() for p in network(given).parameters()]
    m, u = [torch.zeros_like(p) for p in w], [torch.zeros_like(p) for p in w]
    step = torch.compile(compiled_step, mode="reduce-overhead")

    def call():
        with torch.no_grad():
            step(w, m, u, x, y)

    try:
        clock.row("adahesscale step", call)
    except Exception as error:
        clock.left_out("adahesscale step", error)


def main() -> None:
    for precision, name in PRECISIONS.items():
        torch.set_float32_matmul_precision(name)
        for case in cases():
            run_eager(case, precision)
            run_compiled(case, precision)
    print(f'{{"side": "torch", "version": "{torch.__version__}"}}')


if __name__ == "__main__":
    sys.exit(main())
