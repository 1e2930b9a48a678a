#!/usr/bin/env python3
"""Writes recurrent.json beside this file: reads, states and gradients of the named fast-weight memories, by plain PyTorch written
from the papers.

    python3 memory/fastweight/testdata/fixtures.py

Written with PyTorch 1.13.0 and NumPy 1.24.2. Values are computed in float64, token by token and head by head. The gradient of a write
is autograd's of the loss as the paper states it, so no closed form of Engram is in it. Parameters have the names that Engram gives
them.
"""
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

rng = np.random.default_rng(29)
CONTROL, BATCH, STEPS, HEADS, KEY = 3, 2, 7, 2, 4


def draw(*shape, scale=1.0):
    v = (scale * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)
    return torch.from_numpy(v).requires_grad_()


def array(t):
    return {"shape": list(t.shape), "data": [float(f"{v:.12g}") for v in t.detach().numpy().ravel()]}


def gelu(x):
    return F.gelu(x, approximate="tanh")


def squared(y, v):
    return 0.5 * ((y - v) ** 2).sum()


def titans_loss(y, v):
    """Behrouz et al. 2025 (2501.00663), eq. 12."""
    return ((y - v) ** 2).sum()


def huber(threshold):
    """Yaad: Behrouz et al. 2025 (2504.13173), section 5, with |x| smoothed as in its appendix."""
    def loss(y, v):
        e = y - v
        if float((e ** 2).sum()) > threshold ** 2:
            return threshold * torch.sqrt(e ** 2 + 1e-6).sum()
        return 0.5 * (e ** 2).sum()
    return loss


def cubed(y, v):
    """Moneta: the same, p = 3."""
    return ((y - v) ** 2 + 1e-6).pow(1.5).sum()


def newton_schulz(x):
    """Jordan et al. 2024, Muon: five steps from x/‖x‖."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x / torch.sqrt((x ** 2).sum() + 1e-6)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


class Memory:
    """The settings of a memory. A head's weights are a list of matrices, each followed by its bias where there is one."""

    def __init__(self, loss, depth=1, residual=False, biased=False, unit=False, scaled=False, rate=None, gate=0, first=False,
                 momentum=False, writes=1, mini_batch=1, positions=False, window=1, simplex=False, orthogonal=False, linear=False, eps=1e-6):
        self.__dict__.update(locals())
        self.deep = depth > 1 or residual
        p = self.params = {}
        if self.deep:
            into = KEY
            for i in range(depth):
                out = KEY if i == depth - 1 else 4 * KEY
                p[f"weight{i + 1}"] = draw(HEADS, into, out, scale=0.4)
                if biased:
                    p[f"bias{i + 1}"] = draw(HEADS, 1, out, scale=0.2)
                into = out
        if residual:
            p["norm_gain"], p["norm_bias"] = draw(HEADS, 1, KEY), draw(HEADS, 1, KEY, scale=0.3)
        if positions:
            p["positions"] = draw(mini_batch, scale=0.1)
        if gate:
            p["decay_rate"], p["decay_bias"] = draw(HEADS, 1, 1, scale=0.3), draw(HEADS, 1, KEY if gate == 2 else 1)
        self.emitted = [(1, KEY), (writes, KEY), (writes, KEY), (writes, 1) if rate else (0, 0),
                        {0: (0, 0), 1: (1, 1), 2: (1, KEY)}[gate], (writes, 1) if momentum else (0, 0)]
        n = HEADS * sum(rows * width for rows, width in self.emitted)
        p["emit.weight"], p["emit.bias"] = draw(n, CONTROL), draw(n, scale=0.5)

    def run(self, inputs):
        """inputs [time, batch, control] to reads [time, batch, heads·key]."""
        return torch.stack([torch.cat([self.head(inputs[:, b], h) for h in range(HEADS)], -1) for b in range(inputs.shape[1])], 1)

    def start(self, h):
        if not self.deep:
            return [torch.zeros(KEY, KEY, dtype=torch.float64)]
        out = []
        for i in range(self.depth):
            out.append(self.params[f"weight{i + 1}"][h])
            if self.biased:
                out.append(self.params[f"bias{i + 1}"][h])
        return out

    def address(self, x):
        if self.linear:
            return F.elu(x) + 1
        return x / torch.sqrt((x ** 2).sum() + 1e-6) if self.unit else x

    def effective(self, weights):
        """Memora's weights: c·softmax over the inputs of a layer, c their number."""
        return [w.shape[0] * torch.softmax(w, 0) for w in weights] if self.simplex else weights

    def model(self, weights, x, h):
        y, each = x, 2 if self.biased else 1
        for i in range(self.depth):
            if i:
                y = gelu(y)
            y = y @ weights[i * each]
            if self.biased:
                y = y + weights[i * each + 1][0]
        if self.residual:
            y = x + F.layer_norm(y, (KEY,), self.params["norm_gain"][h, 0], self.params["norm_bias"][h, 0], self.eps)
        return y

    def head(self, control, h):
        p, reads = self.params, []
        weights, momentum, seen, normal = self.start(h), None, [], torch.zeros(KEY, dtype=torch.float64)
        begin, total = weights, None  # of a mini-batch
        for t in range(control.shape[0]):
            e, at, parts = control[t] @ p["emit.weight"].T + p["emit.bias"], 0, []
            for rows, width in self.emitted:
                n = HEADS * rows * width
                parts.append(e[at:at + n].reshape(HEADS, rows, width)[h] if n else None)
                at += n
            query = self.address(parts[0][0])
            if self.scaled:
                query = query / math.sqrt(KEY)
            log_decay = None
            if self.gate:
                log_decay = -torch.exp(p["decay_rate"][h, 0]) * F.softplus(parts[4][0] + p["decay_bias"][h, 0])
            for j in range(self.writes):
                key, value = self.address(parts[1][j]), parts[2][j]
                rate = self.rate * torch.sigmoid(parts[3][j, 0]) if self.rate else torch.tensor(1.0, dtype=torch.float64)
                if self.linear:  # Katharopoulos et al. 2020, eqs. 18 to 20
                    weights, normal = [weights[0] + torch.outer(key, value)], normal + key
                    continue
                place = t % self.mini_batch
                if place == 0:
                    begin, total = weights, None
                kept = weights
                if log_decay is not None and j == 0:
                    kept = [torch.exp(log_decay)[:, None] * w for w in weights]
                where = begin if self.mini_batch > 1 else kept if self.first else weights
                where = self.effective(where)
                seen = (seen + [(key, value)])[-self.window:]
                # The gradient by the weights, with its graph. Weights that are constants are made leaves.
                leaves = [w if w.requires_grad else w.clone().requires_grad_() for w in where]
                loss = sum(self.loss(self.model(leaves, k, h), v) for k, v in seen)
                grads = torch.autograd.grad(loss, leaves, create_graph=True)
                if self.orthogonal:  # ATLAS: momentum of gradients, then an orthogonal change
                    change = [-g for g in grads]
                    if momentum is not None:
                        change = [torch.sigmoid(parts[5][j, 0]) * m + c for m, c in zip(momentum, change)]
                    momentum = change
                    weights = [w + rate * newton_schulz(c) for w, c in zip(kept, change)]
                    continue
                change = [-rate * g for g in grads]
                if self.positions:
                    total = change if total is None else [a + c for a, c in zip(total, change)]
                    factor = torch.clamp(1 / (place + 1) + p["positions"][place], min=0)
                    weights = [w + factor * a for w, a in zip(begin, total)]
                    continue
                if self.momentum:  # Titans, eqs. 10 and 13
                    if momentum is not None:
                        change = [torch.sigmoid(parts[5][j, 0]) * m + c for m, c in zip(momentum, change)]
                    momentum = change
                weights = [w + c for w, c in zip(kept, change)]
            if self.linear:
                reads.append(query @ weights[0] / (query @ normal + 1e-10))
            else:
                reads.append(self.model(self.effective(weights), query, h))
        return torch.stack(reads)


delta = dict(loss=squared, unit=True, scaled=True)
block = dict(depth=2, residual=True, unit=True, gate=1)
CASES = {
    "linear attention": lambda: Memory(None, linear=True),
    "delta": lambda: Memory(rate=1, **delta),
    "gated delta": lambda: Memory(rate=1, gate=1, first=True, **delta),
    "KDA": lambda: Memory(rate=1, gate=2, first=True, **delta),
    "negative": lambda: Memory(rate=2, gate=1, first=True, **delta),
    "delta product": lambda: Memory(rate=2, writes=2, **delta),
    "ttt-linear": lambda: Memory(squared, residual=True, biased=True, rate=1 / KEY, mini_batch=3, positions=True),
    "ttt-mlp": lambda: Memory(squared, depth=2, residual=True, biased=True, rate=.1 / KEY, mini_batch=3, positions=True),
    "titans": lambda: Memory(titans_loss, rate=.01, momentum=True, **block),
    "omega": lambda: Memory(titans_loss, rate=.01 / 8, momentum=True, window=8, **block),
    "atlas": lambda: Memory(titans_loss, rate=.1, momentum=True, window=8, orthogonal=True, **block),
    "yaad": lambda: Memory(huber(2 * math.sqrt(KEY)), rate=.01, **block),
    "moneta": lambda: Memory(cubed, rate=.01, **block),
    "memora": lambda: Memory(titans_loss, rate=.1, simplex=True, eps=.01, **block),
}


def case(name, make):
    m = make()
    inputs = draw(STEPS, BATCH, CONTROL, scale=1.5)
    reads = m.run(inputs)
    weights = draw(*reads.shape).detach()
    leaves = {"inputs": inputs, **m.params}
    grads = torch.autograd.grad((reads * weights).sum(), list(leaves.values()), allow_unused=True)
    return {
        "name": name, "params": {k: array(v) for k, v in m.params.items()}, "inputs": array(inputs), "reads": array(reads),
        "weights": array(weights), "gradients": {k: array(g) for k, g in zip(leaves, grads) if g is not None},
    }


if __name__ == "__main__":
    out = [case(name, make) for name, make in CASES.items()]
    pathlib.Path(__file__).with_name("recurrent.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")
