#!/usr/bin/env python3
"""Writes rare.json beside this file: loss, gradients and answers of the network of Kaiser et al. 2017 ("Learning to Remember Rare
Events") without an encoder, by plain PyTorch written from the paper's section 2.

    python3 rarenet/testdata/fixtures.py

Written with PyTorch 1.13.0 and NumPy 1.24.2. Values are computed in float64, image by image and slot by slot, and gradients are
autograd's. Parameters have the names that Engram gives them.
"""
import json
import pathlib

import numpy as np
import torch

rng = np.random.default_rng(17)
INPUT, WIDTH, SCALE, MARGIN = 6, 5, 40.0, 0.1


def unit(x):
    return x / torch.sqrt((x * x).sum() + 1e-12)


class Memory:
    """Slots in the order of their making; a bounded memory overwrites the one that was not written for longest."""

    def __init__(self, slots):
        self.slots, self.clock = slots, 0
        self.keys, self.labels, self.written = [], [], []

    def cosines(self, query):
        return [(query * k).sum() for k in self.keys]

    def loss(self, query, label):
        similar = self.cosines(query)
        right = [s for s, l in zip(similar, self.labels) if l == label]
        wrong = [s for s, l in zip(similar, self.labels) if l != label]
        if not right or not wrong:
            return torch.zeros((), dtype=torch.float64)
        return torch.relu(max(wrong) - max(right) + MARGIN)

    def read(self, query, classes):
        shares = torch.softmax(SCALE * torch.stack(self.cosines(query)), 0)
        return [sum((s for s, l in zip(shares, self.labels) if l == c), torch.zeros((), dtype=torch.float64)) for c in range(classes)]

    def write(self, key, label):
        key = key.detach()
        self.clock += 1
        similar = self.cosines(key)
        nearest = max(range(len(similar)), key=lambda i: similar[i]) if similar else None
        if nearest is not None and self.labels[nearest] == label:
            self.keys[nearest], self.written[nearest] = unit(key + self.keys[nearest]), self.clock
            return
        if len(self.keys) < self.slots:
            self.keys.append(key), self.labels.append(label), self.written.append(self.clock)
            return
        oldest = min(range(self.slots), key=lambda i: self.written[i])
        self.keys[oldest], self.labels[oldest], self.written[oldest] = key, label, self.clock


def case(name, time, episodes, letters, slots):
    images = torch.tensor(rng.normal(size=(time, episodes, INPUT)))
    labels = rng.integers(letters, size=(time, episodes))
    # Images of a label are alike, so that there are hits, misses and overwritten slots.
    images += 1.5 * torch.tensor(rng.normal(size=(episodes, letters, INPUT)))[torch.arange(episodes), torch.tensor(labels)]
    params = {"query.weight": torch.tensor(rng.normal(size=(WIDTH, INPUT)) / 2), "query.bias": torch.tensor(rng.normal(size=WIDTH) / 4)}
    for p in params.values():
        p.requires_grad_()
    keys = [[unit(params["query.weight"] @ images[t, e] + params["query.bias"]) for e in range(episodes)] for t in range(time)]

    shared, loss = Memory(min(slots, time * episodes)), torch.zeros((), dtype=torch.float64)
    for t in range(time):
        own = [int(labels[t, e]) + e * letters for e in range(episodes)]
        if t > 0:
            loss = loss + sum(shared.loss(keys[t][e], own[e]) for e in range(episodes)) / episodes / (time - 1)
        for e in range(episodes):
            shared.write(keys[t][e], own[e])
    gradients = torch.autograd.grad(loss, list(params.values()))

    answers = np.zeros((time, episodes, 1, letters))
    for e in range(episodes):
        memory = Memory(min(slots, time))
        for t in range(time):
            scores = torch.zeros(letters, dtype=torch.float64)
            if t > 0:
                scores = torch.log(torch.clamp(torch.stack(memory.read(keys[t][e], letters)), min=np.exp(-50)))
            answers[t, e, 0] = torch.log_softmax(scores, 0).detach().numpy()
            memory.write(keys[t][e], int(labels[t, e]))

    def array(x):
        x = np.asarray(x.detach() if isinstance(x, torch.Tensor) else x)
        return {"shape": list(x.shape), "data": [float(f"{v:.12g}") for v in x.flatten()]}

    return {
        "name": name, "letters": letters, "slots": slots, "images": array(images), "labels": array(labels),
        "params": {k: array(v) for k, v in params.items()}, "loss": float(f"{loss.item():.12g}"),
        "gradients": {k: array(g) for k, g in zip(params, gradients)}, "answers": array(answers),
    }


cases = [case("a slot for each image", 9, 2, 3, 8192), case("slots are overwritten", 12, 3, 4, 7), case("one episode", 12, 1, 4, 5)]
text = "[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n"
pathlib.Path(__file__).with_name("rare.json").write_text(text)
