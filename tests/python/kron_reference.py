"""Kronecker factors of any network by JAX: the reference that the engine did not make.

What a layer's weights multiply is read off the derivative of its output in them, and the adjoints
off the derivative of the network's output in a number added to each of the layer's outputs.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from oracle import losses
from oracle_layers.jax_net import LAYERS, _batch_norm
from oracle_layers.shapes import NORMS
from oracle_layers.spec import AllData, Net, Node, Spec, make_data


@dataclasses.dataclass
class Use:
    """A layer in one place: rows (N, T, columns), Jacobians (N, K, T, rows) of a block."""

    x: np.ndarray
    j: np.ndarray


@dataclasses.dataclass
class Block:
    """Where the block's matrix (rows, columns) lies in w, and its uses; bias column last."""

    index: np.ndarray  # (rows, columns) positions in w
    uses: list[Use]
    one_hot: bool = False
    norm: bool = False


class KroneckerReference:
    """The factors of all blocks, with the bias as a last column of ones."""

    def __init__(self, spec: Spec, data: AllData | None = None):
        self.spec, self.net = spec, Net(spec)
        self.data = data or make_data(spec, self.net)
        self.values, self.jacobians = self._derivatives()
        z = self.values[-1]
        seed = losses.evaluate(spec.loss, z, self.data.y, self.data.sample_weight)
        self.hessians = seed.h  # (N, K, K)
        share = seed.share[:, None]
        own = np.divide(seed.g, share, out=np.zeros_like(seed.g), where=share > 0) * np.sqrt(share)
        self.outer = np.einsum("nk,nl->nkl", own, own)
        s = self.data.sample_weight
        self.weights = np.full(spec.batch, 1 / spec.batch) if s is None else s / s.sum()
        self.blocks = self._blocks()

    def _derivatives(self):
        net, data = self.net, self.data
        nodes = [i for i, n in enumerate(net.nodes) if n.parameters]
        batch = self.spec.batch

        def run(extra):
            values: list = []
            names = {i: name for name, i in net.inputs.items()}
            for i, node in enumerate(net.nodes):
                src = [values[s] for s in node.sources]
                if node.kind == "input":
                    y = jnp.asarray(data.x[names[i]])
                elif node.kind == "batch_norm":
                    y = _batch_norm(net, node, src[0], net.views(data.w, node), data.buffers)
                else:
                    y = LAYERS[node.kind](node, src, net.views(data.w, node))
                values.append(y + extra[i] if i in extra else y)
            return values

        zeros = {i: jnp.zeros((batch, *net.nodes[i].shape)) for i in nodes}
        values = [np.asarray(v) for v in run(zeros)]
        full = jax.jacrev(lambda e: run(e)[-1].reshape(batch, -1))(zeros)
        own = {}
        for i in nodes:  # samples do not reach each other
            j = np.asarray(full[i]).reshape(batch, values[-1][0].size, batch, -1)
            own[i] = np.stack([j[n, :, n] for n in range(batch)])
        return values, own

    def _blocks(self) -> list[Block]:
        blocks: dict[tuple[int, int], Block] = {}
        for i, node in enumerate(self.net.nodes):
            for k, (use, index, one_hot, norm) in enumerate(self._parts(i, node)):
                key = (node.parameters[0][0], k)
                block = blocks.setdefault(key, Block(index, [], one_hot, norm))
                block.uses.append(use)
        return [blocks[k] for k in sorted(blocks)]

    def _parts(self, i: int, node: Node):
        if not node.parameters:
            return
        n, (at, shape) = self.spec.batch, node.parameters[0]
        y = self.values[i].shape[1:]
        j = self.jacobians[i].reshape(n, -1, *y)
        where = at + np.arange(math.prod(shape)).reshape(shape)
        bias = None
        if len(node.parameters) == 2:
            bias = node.parameters[1][0] + np.arange(math.prod(node.parameters[1][1]))
        if node.kind in NORMS:
            yield from self._norm(i, node, where.reshape(-1), bias, j)
        elif node.kind == "embedding":
            row = node.args.get("padding_idx")
            tokens = self.values[node.sources[0]].reshape(n, -1)
            x = np.eye(shape[0])[tokens] * (np.arange(shape[0]) != (-1 if row is None else row))
            yield Use(x, j.reshape(n, j.shape[1], -1, shape[1])), where.T, True, False
        else:
            yield from self._linear(i, node, where, bias, j)

    def _norm(self, i, node, where, bias, j):
        def of(p):
            src = [jnp.asarray(self.values[s]) for s in node.sources]
            if node.kind == "batch_norm":
                return _batch_norm(self.net, node, src[0], p, self.data.buffers)
            return LAYERS[node.kind](node, src, p)

        n = self.spec.batch
        derivatives = jax.jacobian(of)(self.net.views(self.data.w, node))
        for d, at in zip(derivatives, [where, bias], strict=False):
            d = np.asarray(d).reshape(n, math.prod(j.shape[2:]), -1)  # dy/dp of each sample
            own = np.einsum("nky,nyp->nkp", j.reshape(n, j.shape[1], -1), d)
            yield Use(np.ones((n, 1, 1)), own[:, :, None]), at[:, None], False, True

    def _linear(self, i, node, where, bias, j):
        """The derivative of y[o, t] in the weights of o is x_t."""
        src = self.values[node.sources[0]]
        n, transposed = len(src), node.kind == "conv_transpose"
        groups = node.args.get("groups", 1)
        first = node.kind != "linear"  # channels come first

        def of(weight, one):
            return LAYERS[node.kind](node, [one[None]], [weight])[0]

        weight = self.net.views(self.data.w, node)[0]
        d = np.stack([np.asarray(jax.jacobian(of)(jnp.asarray(weight), x)) for x in src])
        axes = len(self.values[i].shape) - 1
        d = d.reshape(n, *self.values[i].shape[1:], *weight.shape)
        if not first:
            d, j = np.moveaxis(d, axes, 1), np.moveaxis(j, -1, 2)
        out = d.shape[1]
        d = d.reshape(n, out, -1, *weight.shape)
        j = j.reshape(n, j.shape[1], out, -1)
        for g in range(groups):
            o = out // groups
            if transposed:
                c = weight.shape[0] // groups
                x = d[:, g * o, :, g * c : (g + 1) * c, 0]
                index = np.moveaxis(where[g * c : (g + 1) * c], 1, 0).reshape(o, -1)
            else:
                x, index = d[:, g * o, :, g * o], where[g * o : (g + 1) * o].reshape(o, -1)
            x = x.reshape(n, x.shape[1], -1)
            if bias is not None:
                x = np.concatenate([x, np.ones((*x.shape[:2], 1))], -1)
                index = np.concatenate([index, bias[g * o : (g + 1) * o, None]], 1)
            yield Use(x, np.moveaxis(j[:, :, g * o : (g + 1) * o], 2, 3)), index, False, False

    # ---- what is compared ----

    def factors(self, block: Block, kind: str = "exact", reduce: bool = False):
        """A, of one-hot inputs its diagonal, and G."""
        h = self.outer if kind == "empirical" else self.hessians
        t = sum(u.x.shape[1] for u in block.uses)
        if (reduce or block.norm) and not block.one_hot:
            x = sum(u.x.sum(1) for u in block.uses) / (1 if block.norm else t)
            j = sum(u.j.sum(2) for u in block.uses)
            a = np.einsum("n,ni,nj->ij", self.weights, x, x)
            g = np.einsum("nki,nkl,nlj->ij", j, h, j, optimize=True)
        else:
            a = sum(np.einsum("n,nti,ntj->ij", self.weights, u.x, u.x) for u in block.uses) / t
            g = sum(np.einsum("nkti,nkl,nltj->ij", u.j, h, u.j, optimize=True) for u in block.uses)
        if block.norm:
            a = np.ones((1, 1))
        return (np.diag(a).copy() if block.one_hot else a), g

    def gradients(self, block: Block) -> np.ndarray:
        """The derivatives (N, K, rows, columns) of the outputs in the block."""
        return sum(np.einsum("nkti,ntj->nkij", u.j, u.x) for u in block.uses)

    def block_of_ggn(self, block: Block, kind: str = "exact") -> np.ndarray:
        """The block of the dense matrix, in the order of the flattened matrix."""
        h = self.outer if kind == "empirical" else self.hessians
        d = self.gradients(block).reshape(*h.shape[:2], -1)
        return np.einsum("nkp,nkl,nlq->pq", d, h, d, optimize=True)

    def assemble(self, of) -> np.ndarray:
        """The (P, P) matrix with of(block), in the order of the flattened matrix, on its blocks."""
        out = np.zeros((self.net.num_params,) * 2)
        for b in self.blocks:
            out[np.ix_(b.index.ravel(), b.index.ravel())] = of(b)
        return out

    def dense(self, kind: str = "exact", reduce: bool = False) -> np.ndarray:
        """The whole approximation."""

        def block(b):
            a, g = self.factors(b, kind, reduce)
            return np.kron(g, np.diag(a) if b.one_hot else a)

        return self.assemble(block)

    def split_inverse(self, damping: float) -> np.ndarray:
        """Martens & Grosse 2015, section 6.3."""

        def block(b):
            a, g = self.factors(b)
            a = np.diag(a) if b.one_hot else a
            means = np.trace(a) / len(a), np.trace(g) / len(g)
            pi = np.sqrt(means[0] / means[1]) if min(means) > 1e-20 else 1.0
            left = np.linalg.inv(g + np.sqrt(damping) / pi * np.eye(len(g)))
            return np.kron(left, np.linalg.inv(a + pi * np.sqrt(damping) * np.eye(len(a))))

        return self.assemble(block)

    def corrected(self) -> np.ndarray:
        """EKFAC: the diagonal of the exact block in the Kronecker-factored eigenbasis."""

        def block(b):
            a, g = self.factors(b)
            u = np.kron(np.linalg.eigh(g)[1], np.eye(len(a)) if b.one_hot else np.linalg.eigh(a)[1])
            return u @ np.diag(np.diag(u.T @ self.block_of_ggn(b) @ u)) @ u.T

        return self.assemble(block)
