#!/usr/bin/env python3
"""Writes metagradients.json, beside this file, which the tests of package maml compare with.

Needs PyTorch and NumPy, best PyTorch of the LibTorch that Engram links (Debian: apt install python3-torch):

    python3 maml/testdata/fixtures.py

Values are computed in float64 from inputs that float32 holds exactly. Second order is create_graph=True.
"""
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
WAY, SHOT, QUERY, SIZE, FILTERS, TASKS = 3, 2, 2, 8, 4, 2
rng = np.random.default_rng(2017)


def draw(*shape, scale=1.0):
    return torch.from_numpy((scale * rng.standard_normal(shape)).astype(np.float32).astype(np.float64))


def flat(t):
    return [float(f"{v:.12g}") for v in t.detach().numpy().ravel()]


params = {}
for i in range(4):
    channels = 1 if i == 0 else FILTERS
    block = f"encoder.block{i + 1}."
    params[block + "conv.weight"] = draw(FILTERS, channels, 3, 3, scale=0.4)
    params[block + "conv.bias"] = draw(FILTERS, scale=0.1)
    params[block + "norm.weight"] = 1 + draw(FILTERS, scale=0.1)
    params[block + "norm.bias"] = draw(FILTERS, scale=0.1)
params["head.weight"] = draw(WAY, FILTERS, scale=0.5)
params["head.bias"] = draw(WAY, scale=0.1)
support, query = draw(TASKS, WAY * SHOT, 1, SIZE, SIZE), draw(TASKS, WAY * QUERY, 1, SIZE, SIZE)
support_labels, query_labels = torch.arange(WAY).repeat_interleave(SHOT), torch.arange(WAY).repeat_interleave(QUERY)


def embed(p, x):
    for i in range(4):
        block = f"encoder.block{i + 1}."
        x = F.conv2d(x, p[block + "conv.weight"], p[block + "conv.bias"], stride=2, padding=1)
        x = F.relu(F.batch_norm(x, None, None, p[block + "norm.weight"], p[block + "norm.bias"], training=True))
    return x.mean((2, 3))


def loss(p, x, y):
    return F.cross_entropy(F.linear(embed(p, x), p["head.weight"], p["head.bias"]), y)


def case(name, steps, rate, second=True, learned=False, head=False):
    first = {k: v.clone().requires_grad_() for k, v in params.items()}
    adapted = [k for k in params if not head or k.startswith("head.")]
    rates = {k: torch.full_like(params[k], rate).requires_grad_(learned) for k in adapted}
    total = 0
    for t in range(TASKS):
        p = dict(first)
        for _ in range(steps):
            grads = torch.autograd.grad(loss(p, support[t], support_labels), [p[k] for k in adapted], create_graph=second)
            for k, g in zip(adapted, grads):
                p[k] = p[k] - rates[k] * g
        total = total + loss(p, query[t], query_labels) / TASKS
    wanted = {**first, **({"rate." + k: v for k, v in rates.items()} if learned else {})}
    grads = torch.autograd.grad(total, list(wanted.values()))
    return {
        "name": name, "steps": steps, "rate": rate, "second": second, "learned": learned, "head": head,
        "loss": float(f"{total.item():.12g}"), "grads": {k: flat(g) for k, g in zip(wanted, grads)},
    }


cases = [
    case("second order", 2, 0.25), case("first order", 2, 0.25, second=False),
    case("learned rates", 1, 0.25, learned=True), case("head only", 2, 0.5, head=True),
]
task = {"way": WAY, "size": SIZE, "filters": FILTERS, "tasks": TASKS, "support": flat(support), "query": flat(query)}
head = {"torch": torch.__version__, "numpy": np.__version__}
(HERE / "metagradients.json").write_text(json.dumps(
    {"made_with": head, "task": task, "params": {k: flat(v) for k, v in params.items()}, "cases": cases}, separators=(",", ":")) + "\n")
