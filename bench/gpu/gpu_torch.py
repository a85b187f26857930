"""PyTorch on the GPU: eager, layer by layer as published tools work, and compiled by hand.

Images lie in the faster of the two memory formats. BackPACK's rows appear where it is installed.
"""

from __future__ import annotations

import sys

import torch
from common import BETA1, BETA2, CG_ITERATIONS, DAMPING, EPS, LR, Clock, cases
from networks import Case, Problem
from sweep_torch import hesscale
from torch import nn
from torch.func import functional_call, jvp, vjp
from torch_nets import faster_format, network, resnet18

PRECISIONS = {"fp32": "highest", "tf32": "high"}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


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


class Setup:
    """A case on the device: module, batch, and parameters with the state of an optimizer."""

    def __init__(self, case: Case) -> None:
        self.given = Problem(case)
        self.net = network(case, self.given).to(DEVICE)
        x = torch.from_numpy(self.given.x).to(DEVICE)
        self.y = torch.from_numpy(self.given.y).to(DEVICE)
        self.format = faster_format(self.net, x, wait)
        self.net.to(memory_format=self.format)
        self.x = x.to(memory_format=self.format)
        self.w = [p.detach().clone() for p in self.net.parameters()]
        self.m, self.u = ([torch.zeros_like(p) for p in self.w] for _ in range(2))

    def step(self, function, layers, *options):
        with torch.no_grad():
            return function(layers, self.w, self.m, self.u, self.x, self.y, *options)


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


def run_eager(case: Case, precision: str) -> None:
    s, clock = Setup(case), Clock("torch eager", case, precision, wait)
    gradient_rows(clock, s.net, s.x, s.y)

    def sweep(unfold: bool):
        with torch.no_grad():
            return hesscale(case.layers, s.w, s.x, s.y, unfold)

    unfold = not case.is_mlp
    clock.row("adahesscale step", lambda: s.step(adahesscale_step, case.layers, unfold))
    clock.row("hesscale call", lambda: sweep(unfold))
    if unfold:
        clock.row("hesscale call, without unfolding", lambda: sweep(False))
    if case.is_mlp:
        products(clock, s.net, s.given, s.x, s.y)
    try:
        backpack_rows(clock, case, s)
    except ImportError as error:
        clock.left_out("BackPACK", error)


def run_resnet(precision: str) -> None:
    batch = 2 if "--smoke" in sys.argv else 128
    clock = Clock("torch eager", Case("resnet18", (3, 32, 32), (), batch), precision, wait)
    net, x = resnet18().to(DEVICE), torch.randn(batch, 3, 32, 32, device=DEVICE)
    form = faster_format(net, x, wait)
    y = torch.arange(batch, device=DEVICE) % 10
    gradient_rows(clock, net.to(memory_format=form), x.to(memory_format=form), y)


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


def backpack_rows(clock: Clock, case: Case, s: Setup) -> None:
    import backpack
    from backpack import extensions

    net = backpack.extend(network(case, s.given).to(DEVICE)).to(memory_format=s.format)
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
    if case.name != "allcnnc":  # 100 backward passes
        row("ggn call", extensions.DiagGGNExact())


def run_compiled(case: Case, precision: str) -> None:
    s, clock = Setup(case), Clock("torch compiled", case, precision, wait)
    for tensor in (*s.w, *s.m, *s.u, s.x, s.y):  # so that a CUDA graph may change them in place
        torch._dynamo.mark_static_address(tensor)
    compiled = torch.compile(adahesscale_step, mode="reduce-overhead", dynamic=False)
    try:
        clock.row("adahesscale step", lambda: s.step(compiled, case.layers))
    except Exception as error:
        clock.left_out("adahesscale step", error)


def main() -> None:
    torch.backends.cudnn.benchmark = True
    for precision, name in PRECISIONS.items():
        torch.set_float32_matmul_precision(name)
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        for case in cases():
            run_eager(case, precision)
            if case.name != "allcnnc":
                run_compiled(case, precision)
        run_resnet(precision)
    print(f'{{"side": "torch", "version": "{torch.__version__}"}}')


if __name__ == "__main__":
    sys.exit(main())
