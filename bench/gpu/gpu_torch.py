"""PyTorch on the GPU: eager, layer by layer as published tools work, and compiled by hand.

Images lie in the faster of the two memory formats. BackPACK's rows appear where it is installed.
"""

from __future__ import annotations

import sys

import torch
from common import BETA1, BETA2, CG_ITERATIONS, DAMPING, EPS, LR, PROBES, Clock, cases
from networks import Case, NetCase
from sweep_torch import hesscale
from torch import nn
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch_nets import network
from torch_setup import DEVICE, Setup, wait

PRECISIONS = {"fp32": "highest", "tf32": "high"}


def update(w, m, u, g, d, t):
    """Adam's, with the second moment of d, in place and one kernel list for each operation."""
    torch._foreach_lerp_(m, g, 1 - BETA1)
    torch._foreach_mul_(u, BETA2)
    torch._foreach_addcmul_(u, d, d, 1 - BETA2)
    c1, c2 = 1 - BETA1**t, 1 - BETA2**t
    size = torch._foreach_sqrt(torch._foreach_div(u, c2))
    torch._foreach_add_(size, EPS)
    torch._foreach_addcdiv_(w, m, size, -LR / c1)


def adahesscale_step(layers, w, m, u, x, y, unfold=False):
    value, g, d = hesscale(layers, w, x, y, unfold)
    update(w, m, u, g, d, 1)
    return value


def gradient_rows(clock: Clock, net: nn.Module, x, y) -> None:
    loss = nn.CrossEntropyLoss()
    adam = torch.optim.Adam(net.parameters(), LR, eps=EPS, foreach=True)

    def gradient():
        net.zero_grad()
        loss(net(x), y).backward()

    def adam_step():
        gradient()
        adam.step()

    clock.row("adam step", adam_step)
    clock.row("gradient call", gradient)


def has_batch_norm(case: Case | NetCase) -> bool:
    """Then its running statistics are in the way of torch.func, and BackPACK has no rules."""
    return case.layers[1][0] == "batch_norm"


def run_eager(case: Case | NetCase, precision: str) -> None:
    s, clock = Setup(case), Clock("torch eager", case, precision, wait)
    gradient_rows(clock, s.net, s.x, s.y)

    def sweep(unfold: bool):
        with torch.no_grad():
            return hesscale(s.layers, s.w, s.x, s.y, unfold)

    unfold = isinstance(case, NetCase)
    clock.row("adahesscale step", lambda: s.step(adahesscale_step, unfold))
    clock.row("hesscale call", lambda: sweep(unfold))
    if unfold:
        clock.row("hesscale call, without unfolding", lambda: sweep(False))
    if not has_batch_norm(case):
        products(clock, case, s)
        try:
            backpack_rows(clock, case, s)
        except ImportError as error:
            clock.left_out("BackPACK", error)


def products(clock: Clock, case: Case | NetCase, s: Setup) -> None:
    w = {name: p.detach() for name, p in s.net.named_parameters()}
    parts = (torch.from_numpy(a).to(DEVICE) for a in s.given.views(s.given.v))
    v = dict(zip(w, parts, strict=True))

    def output(w):
        return functional_call(s.net, w, (s.x,))

    def ggn(v):
        z, dz = jvp(output, (w,), (v,))
        p = torch.softmax(z, 1)
        dg = p * (dz - (p * dz).sum(1, keepdim=True)) / len(s.y)
        return vjp(output, w)[1](dg)[0]

    def hessian(v):
        return jvp(grad(lambda w: nn.functional.cross_entropy(output(w), s.y)), (w,), (v,))[1]

    with torch.no_grad():
        clock.row("ggnvp", lambda: ggn(v))
        if isinstance(case, NetCase):
            return
        many = {name: torch.stack(PROBES * [a]) for name, a in v.items()}
        clock.row("hvp", lambda: hessian(v))
        clock.row(f"{PROBES} hvp at once", lambda: vmap(hessian)(many), bundle=3)
        clock.row("50 CG iterations on the GGN", lambda: conjugate_gradients(ggn, v), bundle=1)


def conjugate_gradients(product, b):
    s = {k: torch.zeros_like(a) for k, a in b.items()}
    r, p = dict(b), dict(b)
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


def backpack_rows(clock: Clock, case: Case | NetCase, s: Setup) -> None:
    import backpack
    from backpack import extensions

    net = backpack.extend(network(s.given).to(DEVICE)).to(memory_format=s.format)
    loss = backpack.extend(nn.CrossEntropyLoss())

    def row(name: str, extension) -> None:
        def call():
            net.zero_grad()
            with backpack.backpack(extension):
                loss(net(s.x), s.y).backward()

        try:
            clock.row(name, call, bundle=5)
        except (NotImplementedError, RuntimeError) as error:
            clock.left_out(name, error)

    row("ggn_mc call", extensions.DiagGGNMC(mc_samples=1))
    row("kfac call", extensions.KFAC(mc_samples=1))
    if case.classes < 100:  # a backward pass for each class
        row("ggn call", extensions.DiagGGNExact())


def run_compiled(case: Case | NetCase, precision: str) -> None:
    s, clock = Setup(case), Clock("torch compiled", case, precision, wait)
    for tensor in (*s.w, *s.m, *s.u, s.x, s.y):  # so that a CUDA graph may change them in place
        torch._dynamo.mark_static_address(tensor)
    compiled = torch.compile(adahesscale_step, mode="reduce-overhead", dynamic=False)
    try:
        clock.row("adahesscale step", lambda: s.step(compiled))
    except Exception as error:
        clock.left_out("adahesscale step", error)


def main() -> None:
    torch.backends.cudnn.benchmark = True
    for precision, name in PRECISIONS.items():
        torch.set_float32_matmul_precision(name)
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        for case in cases():
            run_eager(case, precision)
            if case.classes < 100:
                run_compiled(case, precision)
    print(f'{{"side": "torch", "version": "{torch.__version__}"}}')


if __name__ == "__main__":
    sys.exit(main())
