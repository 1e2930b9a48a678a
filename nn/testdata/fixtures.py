#!/usr/bin/env python3
"""Writes the fixtures that the tests of package nn compare with: layers.json and optimizers.json, beside this file.

Needs PyTorch and NumPy, best PyTorch of the LibTorch that Engram links (Debian: apt install python3-torch):

    python3 nn/testdata/fixtures.py

Values are computed in float64 from inputs that float32 holds exactly, so that the tests measure Engram's error alone.
"""
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(2024)


def exact(a):
    return torch.from_numpy(np.asarray(a).astype(np.float32).astype(np.float64))


def draw(*shape, scale=1.0):
    return exact(scale * rng.standard_normal(shape))


def array(t):
    t = t.detach().numpy() if isinstance(t, torch.Tensor) else t
    # Nine digits name a float32 exactly.
    return {"shape": list(t.shape), "data": [float(f"{v:.9g}") for v in t.ravel()]}


def arrays(d):
    return {name: array(t) for name, t in d.items()}


def write(path, cases):
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    head = json.dumps({"torch": torch.__version__, "numpy": np.__version__})
    (HERE / path).write_text(f'{{"made_with":{head},"cases":[\n{lines}\n]}}\n')


def layer(kind, name, config, inputs, params, forward, buffers=None, **setting):
    """Runs forward(inputs, params, buffers) and takes the gradients of a weighted sum of its outputs."""
    buffers = buffers or {}
    before = arrays(buffers)
    for t in [*inputs.values(), *params.values()]:
        t.requires_grad_()
    outputs = forward(inputs, params, buffers)
    weights = {k: draw(*y.shape) for k, y in outputs.items()}
    sum((weights[k] * y).sum() for k, y in outputs.items()).backward()
    return {
        "layer": kind, "name": name, "config": config, **setting,
        "inputs": arrays(inputs), "params": {**arrays(params), **before}, "outputs": arrays(outputs),
        "weights": arrays(weights), "grads": {k: array(t.grad) for k, t in {**inputs, **params}.items()},
        "after": arrays(buffers),
    }


def linear():
    return layer("linear", "", {"in": 4, "out": 3}, {"x": draw(2, 5, 4)}, {"weight": draw(3, 4), "bias": draw(3)},
                 lambda i, p, _: {"y": F.linear(i["x"], p["weight"], p["bias"])})


def conv2d(name, stride, padding, groups):
    return layer("conv2d", name,
                 {"in": 4, "out": 6, "kernel": 3, "stride": stride, "padding": padding, "groups": groups},
                 {"x": draw(2, 4, 7, 6)}, {"weight": draw(6, 4 // (groups or 1), 3, 3, scale=.3), "bias": draw(6)},
                 lambda i, p, _: {"y": F.conv2d(i["x"], p["weight"], p["bias"], stride or 1, padding, 1, groups or 1)})


def batch_norm(name, shape, training, norm):
    c = shape[1]

    def forward(i, p, b):
        own = norm == "batch" and not training
        return {"y": F.batch_norm(i["x"], None if own else b["running_mean"], None if own else b["running_var"],
                                  p["weight"], p["bias"], norm == "batch", .1, 1e-5)}
    return layer("batch_norm", name, {"in": c}, {"x": exact(draw(*shape) * 2 + 1)},
                 {"weight": draw(c), "bias": draw(c)}, forward,
                 {"running_mean": draw(c), "running_var": exact(draw(c) ** 2 + .5)}, training=training, norm=norm)


def lstm_params(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(draw(*p.shape, scale=.5))
    return dict(module.named_parameters())


def lstm_cell():
    m = torch.nn.LSTMCell(3, 4).double()
    return layer("lstm_cell", "", {"in": 3, "out": 4}, {"x": draw(2, 3), "h": draw(2, 4), "c": draw(2, 4)}, lstm_params(m),
                 lambda i, p, _: dict(zip(("h_out", "c_out"), m(i["x"], (i["h"], i["c"])))))


def lstm(name, layers, bidirectional):
    m = torch.nn.LSTM(3, 4, layers, bidirectional=bidirectional).double()
    n = layers * (2 if bidirectional else 1)

    def forward(i, p, _):
        y, (h, c) = m(i["x"], (i["h"], i["c"]))
        return {"y": y, "h_out": h, "c_out": c}
    return layer("lstm", name, {"in": 3, "out": 4, "layers": layers, "bidirectional": bidirectional},
                 {"x": draw(5, 2, 3), "h": draw(n, 2, 4), "c": draw(n, 2, 4)}, lstm_params(m), forward)


write("layers.json", [
    linear(),
    conv2d("defaults", 0, 0, 0),
    conv2d("stride 2, padding 1", 2, 1, 1),
    conv2d("padding 1, two groups", 1, 1, 2),
    batch_norm("2d, training", (3, 4, 3, 2), True, "batch"),
    batch_norm("1d, training", (6, 4), True, "batch"),
    batch_norm("2d, batch statistics", (3, 4, 3, 2), False, "batch"),
    batch_norm("2d, running statistics", (3, 4, 3, 2), False, "running"),
    batch_norm("1d, running statistics", (6, 4), False, "running"),
    lstm_cell(),
    lstm("one layer", 1, False),
    lstm("two layers, bidirectional", 2, True),
])

STEPS, SHAPES = 20, {"a": (3, 2), "b": (4,)}
# The gradients' size goes up and down over the steps, so that running averages matter.
GRADS = [{k: draw(*s, scale=1 + np.sin(.7 * t)) for k, s in SHAPES.items()} for t in range(STEPS)]
START = {k: draw(*s) for k, s in SHAPES.items()}


def optimizer(kind, name, config, lr, make):
    params = {k: p.clone().requires_grad_() for k, p in START.items()}
    opt = make(list(params.values()))
    steps = []
    for grads in GRADS:
        for k, p in params.items():
            p.grad = grads[k].clone()
        opt.step()
        steps.append(arrays(params))
    return {"optimizer": kind, "name": name, "config": config, "lr": lr, "steps": steps}


class Graves:
    """RMSProp of Graves 2013, eqs. 38 to 41, in NumPy."""

    def __init__(self, params, lr, alpha, momentum, eps):
        self.params, self.lr, self.alpha, self.momentum, self.eps = params, lr, alpha, momentum, eps
        self.n, self.g, self.delta = ([np.zeros(p.shape) for p in params] for _ in range(3))

    def step(self):
        for i, p in enumerate(self.params):
            grad, w = p.grad.numpy(), p.detach().numpy()
            self.n[i] = self.alpha * self.n[i] + (1 - self.alpha) * grad ** 2
            self.g[i] = self.alpha * self.g[i] + (1 - self.alpha) * grad
            self.delta[i] = self.momentum * self.delta[i] - self.lr * grad / np.sqrt(self.n[i] - self.g[i] ** 2 + self.eps)
            w += self.delta[i]


o = torch.optim
cases = [
    optimizer("adam", "defaults", {}, .01, lambda ps: o.Adam(ps, lr=.01)),
    optimizer("adam", "no first moment", {"beta1": -1}, .01, lambda ps: o.Adam(ps, lr=.01, betas=(0, .999))),
    optimizer("adam", "L2", {"decay": .1}, .01, lambda ps: o.Adam(ps, lr=.01, weight_decay=.1)),
    optimizer("adam", "AdamW", {"decay": .1, "decoupled": True, "beta1": .8, "beta2": .99, "eps": 1e-3}, .01,
              lambda ps: o.AdamW(ps, lr=.01, weight_decay=.1, betas=(.8, .99), eps=1e-3)),
    optimizer("sgd", "plain", {}, .05, lambda ps: o.SGD(ps, lr=.05)),
    optimizer("sgd", "momentum", {"momentum": .9}, .05, lambda ps: o.SGD(ps, lr=.05, momentum=.9)),
    optimizer("sgd", "nesterov and decay", {"momentum": .9, "nesterov": True, "decay": .1}, .05,
              lambda ps: o.SGD(ps, lr=.05, momentum=.9, nesterov=True, weight_decay=.1)),
    # PyTorch keeps the rate outside the momentum, Engram inside: the same at a constant rate.
    optimizer("rmsprop", "plain", {"plain": True, "alpha": .9, "momentum": .8, "eps": 1e-3}, .01,
              lambda ps: o.RMSprop(ps, lr=.01, alpha=.9, momentum=.8, eps=1e-3)),
    optimizer("rmsprop", "plain, no momentum", {"plain": True, "momentum": -1, "eps": 1e-8}, .01,
              lambda ps: o.RMSprop(ps, lr=.01, alpha=.95, eps=1e-8)),
    optimizer("rmsprop", "Graves", {}, .01, lambda ps: Graves(ps, .01, .95, .9, 1e-4)),
]
write("optimizers.json", [{"start": arrays(START), "grads": [arrays(g) for g in GRADS]}, *cases])
