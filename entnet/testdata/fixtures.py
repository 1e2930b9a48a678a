#!/usr/bin/env python3
"""Writes entnet.json beside this file: scores and gradients of an Entity Network, by plain PyTorch written from the paper.

    python3 entnet/testdata/fixtures.py

Written with PyTorch 1.13.1 and NumPy 1.24.2. Values are computed in float64, word by word and slot by slot.
"""
import json
import pathlib

import numpy as np
import torch

rng = np.random.default_rng(5)
WORDS, LONGEST, WIDTH, SLOTS, SENTENCES = 9, 4, 3, 5, 3
STORIES = [
    {"facts": [[0, 1, 2], [3, 4], [5, 0, 2, 1]], "question": [6, 1], "answer": 2},
    {"facts": [[8, 1, 7, 3]], "question": [6, 8, 2], "answer": 7},
    {"facts": [[7, 7], [1, 2], [4, 5], [2, 3, 1], [0, -1, 6]], "question": [6, 0], "answer": 6},
    {"facts": [], "question": [1], "answer": 0},
]


def draw(*shape):
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32).astype(np.float64)).requires_grad_()


P = {"words": draw(WORDS, WIDTH), "sentence_mask": draw(LONGEST, WIDTH), "question_mask": draw(LONGEST, WIDTH),
     "keys": draw(SLOTS, WIDTH), "gate_bias": draw(SLOTS, 1), "state": draw(WIDTH, WIDTH), "input": draw(WIDTH, WIDTH),
     "key": draw(WIDTH, WIDTH), "slope": draw(WIDTH), "hop": draw(WIDTH, WIDTH), "answer_slope": draw(WIDTH),
     "answer": draw(WORDS, WIDTH)}


def embed(words, mask):
    s = torch.zeros(WIDTH, dtype=torch.float64)
    for j, w in enumerate(words):
        if w >= 0:
            s = s + P[mask][j] * P["words"][w]
    return s


def prelu(x, slope):
    return torch.where(x > 0, x, slope * x)


def scores(story):
    h = [P["keys"][j] for j in range(SLOTS)]
    for fact in story["facts"][-SENTENCES:]:
        s = embed(fact, "sentence_mask")
        new = []
        for j in range(SLOTS):
            w = P["keys"][j]
            g = torch.sigmoid(s @ h[j] + s @ w + P["gate_bias"][j, 0])
            c = prelu(P["state"] @ h[j] + P["input"] @ s + P["key"] @ w, P["slope"])
            x = h[j] + g * c
            new.append(x / torch.sqrt(x @ x + 1e-8))
        h = new
    q = embed(story["question"], "question_mask")
    p = torch.softmax(torch.stack([q @ x for x in h]), 0)
    u = sum(p[j] * h[j] for j in range(SLOTS))
    return P["answer"] @ prelu(q + P["hop"] @ u, P["answer_slope"])


def array(t):
    return {"shape": list(t.shape), "data": [float(f"{v:.12g}") for v in t.detach().numpy().ravel()]}


def main():
    all_scores = torch.stack([scores(s) for s in STORIES])
    loss = -torch.log_softmax(all_scores, 1)[range(len(STORIES)), [s["answer"] for s in STORIES]].mean()
    grads = torch.autograd.grad(loss, list(P.values()))
    out = {"stories": STORIES, "params": {n: array(v) for n, v in P.items()}, "scores": array(all_scores), "loss": loss.item(),
           "gradients": {n: array(g) for n, g in zip(P, grads)}}
    path = pathlib.Path(__file__).resolve().parent / "entnet.json"
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
