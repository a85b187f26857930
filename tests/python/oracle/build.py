"""The engine's net from a spec: containers by their own classes, free graphs through hc.Graph."""

from __future__ import annotations

import hesscore as hc

from .spec import Net, Spec


def objective(spec: Spec) -> hc.Objective:
    """The problem as an ``hc.Objective``."""
    net = Net(spec)
    if spec.layers:
        linears = (n for n in net.nodes if n.kind == "linear")
        model = hc.Sequential(*_chain(spec.layers, net, linears))
        return hc.Objective(model, loss(spec.loss), input_shape=next(iter(spec.inputs.values())))
    return hc.Objective(_graph(spec, net), loss(spec.loss))


def loss(args: dict):
    """The loss object of a loss dict."""
    options = {k: v for k, v in args.items() if k not in ("name", "soft")}
    return getattr(hc, args["name"])(**options)


def layer(kind: str, args: dict, fan_in: int = 0, out: int = 0):
    """One leaf layer."""
    if kind == "linear":
        return hc.Linear(fan_in, out, bias=args.get("bias", True))
    if kind == "act":
        return getattr(hc, args["name"])(*args.get("args", ()))
    if kind == "dropout":
        return hc.Dropout(args["p"])
    return hc.Flatten() if kind == "flatten" else hc.Identity()


def _chain(layers, net: Net, linears) -> list:
    made = []
    for kind, args in layers:
        if kind == "residual":
            body = _chain(args["body"], net, linears)
            shortcut = _chain(args.get("shortcut", ()), net, linears)
            made.append(
                hc.Residual(*body, shortcut=hc.Sequential(*shortcut)) if shortcut
                else hc.Residual(*body)
            )  # fmt: skip
        elif kind == "gate":
            made.append(hc.Gate(*_chain(args["body"], net, linears)))
        elif kind == "branches":
            branches = [hc.Sequential(*_chain(b, net, linears)) for b in args["body"]]
            made.append(hc.Concat(*branches))
        elif kind == "linear":
            node = next(linears)
            fan_in = net.nodes[node.sources[0]].shape[-1]
            made.append(layer(kind, args, fan_in, node.shape[-1]))
        else:
            made.append(layer(kind, args))
    return made


def _graph(spec: Spec, net: Net) -> hc.Graph:
    g = hc.Graph()
    handles = {name: g.input(shape, name=name) for name, shape in spec.inputs.items()}
    made, shared = [], {}
    for (kind, sources, args), node in zip(spec.nodes, net.nodes[len(spec.inputs) :], strict=True):
        src = [handles[s] if isinstance(s, str) else made[s] for s in sources]
        if kind == "add":
            made.append(g.add(*src))
        elif kind == "multiply":
            made.append(g.multiply(*src))
        elif kind == "concat":
            made.append(g.concat(*src, axis=args["axis"]))
        else:
            fan_in = net.nodes[node.sources[0]].shape[-1]
            new = shared.get(args.get("layer")) or layer(kind, args, fan_in, node.shape[-1])
            shared[args.get("layer", object())] = new
            made.append(g(new, src[0]))
    g.output(made[-1])
    return g
