#!/usr/bin/env python3
"""Writes recurrent.json beside this file: reads, states and gradients of memories, by plain PyTorch written from the papers.

    python3 memory/testdata/fixtures.py

Written with PyTorch 1.13.0 and NumPy 1.24.2. Values are computed in float64, step by step and slot by slot; no code is shared with
Engram. Parameters have the names that Engram gives them.
"""
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

rng = np.random.default_rng(23)
CONTROL, BATCH, STEPS = 3, 2, 7


def draw(*shape, scale=1.0):
    v = (scale * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)
    return torch.from_numpy(v).requires_grad_()


def linear(params, name, out, into, scale=1.0):
    params[name + ".weight"] = draw(out, into, scale=scale)
    params[name + ".bias"] = draw(out, scale=scale)


def apply(params, name, x):
    return x @ params[name + ".weight"].T + params[name + ".bias"]


def array(t):
    return {"shape": list(t.shape), "data": [float(f"{v:.12g}") for v in t.detach().numpy().ravel()]}


class Parts:
    """Splits an emission from left to right."""

    def __init__(self, x):
        self.x, self.at = x, 0

    def next(self, heads, width):
        part = self.x[:, self.at:self.at + heads * width].reshape(-1, heads, width)
        self.at += heads * width
        return part

    def done(self):
        assert self.at == self.x.shape[1], (self.at, self.x.shape)


def relational(gates, blocks, slots=3, heads=2, width=2):
    """Santoro et al. 2018, section 3, with the details of the public code of Sonnet."""
    size = heads * width
    p = {}
    linear(p, "input", size, CONTROL)
    for k in range(1, blocks + 1):
        linear(p, f"block{k}.qkv", 3 * size, size)
        for norm, n in (("qkv_norm", 3 * size), ("attention_norm", size), ("mlp_norm", size)):
            p[f"block{k}.{norm}.gain"], p[f"block{k}.{norm}.bias"] = draw(n), draw(n)
        linear(p, f"block{k}.mlp1", size, size)
        linear(p, f"block{k}.mlp2", size, size)
    n = {"unit": 2 * size, "slot": 2, "none": 0}[gates]
    if n:
        linear(p, "input_gates", n, size)
        linear(p, "memory_gates", n, size)

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], p[name + ".gain"], p[name + ".bias"], 1e-5)

    def step(x, s):
        M = s["memory"]
        row = apply(p, "input", x).unsqueeze(1)
        X = torch.cat([M, row], 1)
        for k in range(1, blocks + 1):
            qkv = norm(f"block{k}.qkv_norm", apply(p, f"block{k}.qkv", X))
            out = []
            for h in range(heads):
                mine = qkv[..., 3 * width * h:3 * width * (h + 1)]
                q, key, v = mine.split(width, -1)
                a = torch.softmax(q @ key.transpose(1, 2) / math.sqrt(width), -1)
                out.append(a @ v)
            X = norm(f"block{k}.attention_norm", X + torch.cat(out, -1))
            Y = apply(p, f"block{k}.mlp2", torch.relu(apply(p, f"block{k}.mlp1", X)))
            X = norm(f"block{k}.mlp_norm", X + Y)
        X = X[:, :slots]
        if n:
            g = apply(p, "input_gates", row) + apply(p, "memory_gates", torch.tanh(M))
            i, f = g.split(n // 2, -1)
            X = torch.sigmoid(i) * torch.tanh(X) + torch.sigmoid(f + 1) * M
        return X.flatten(1), {"memory": X}

    start = torch.zeros(BATCH, slots, size, dtype=torch.float64)
    for i in range(min(slots, size)):
        start[:, i, i] = 1
    return p, {"memory": start}, step


def cosine(a, b, eps):
    return (a * b).sum(-1) / torch.sqrt(((a * a).sum(-1) + eps) * ((b * b).sum(-1) + eps))


def ntm(reads, writes, shift, slots=5, width=3):
    """Graves et al. 2014, section 3: content, interpolation, shift and sharpening, head by head and slot by slot."""
    p, heads = {}, reads + writes
    linear(p, "heads", heads * (width + 4 + 2 * shift) + 2 * writes * width, CONTROL)
    p["initial_memory"], p["initial_weightings"] = draw(slots, width), draw(heads, slots)

    def step(x, s):
        e = Parts(apply(p, "heads", x).clamp(-20, 20))
        keys = torch.tanh(e.next(heads, width))
        strengths, powers = F.softplus(e.next(heads, 1)), 1 + F.softplus(e.next(heads, 1))
        gates, shifts = torch.sigmoid(e.next(heads, 1)), torch.softmax(e.next(heads, 2 * shift + 1), -1)
        erase, add = torch.sigmoid(e.next(writes, width)), torch.tanh(e.next(writes, width))
        e.done()
        M, rows = s["memory"], []
        for h in range(heads):
            content = torch.softmax(strengths[:, h] * cosine(keys[:, h:h + 1], M, 0), -1)
            w = gates[:, h] * content + (1 - gates[:, h]) * s["weightings"][:, h]
            w = torch.stack([
                sum(w[:, (i - by) % slots] * shifts[:, h, by + shift] for by in range(-shift, shift + 1)) for i in range(slots)
            ], 1)
            w = w ** powers[:, h]
            rows.append(w / w.sum(1, keepdim=True))
        read = torch.stack([(rows[h].unsqueeze(2) * M).sum(1) for h in range(reads)], 1)
        for j in range(writes):
            M = M * (1 - rows[reads + j].unsqueeze(2) * erase[:, j:j + 1])
        for j in range(writes):
            M = M + rows[reads + j].unsqueeze(2) * add[:, j:j + 1]
        return read.flatten(1), {"memory": M, "weightings": torch.stack(rows, 1)}

    first = torch.softmax(p["initial_weightings"], -1).expand(BATCH, heads, slots)
    return p, {"memory": p["initial_memory"].expand(BATCH, slots, width), "weightings": first}, step


def lrua(slots=6, width=3, heads=2):
    p = {}
    linear(p, "heads", heads * (width + 1), CONTROL)
    p["initial_memory"] = draw(slots, width)
    first = torch.zeros(BATCH, heads, slots, dtype=torch.float64)
    first[:, :, 0] = 1
    start = {"memory": p["initial_memory"].expand(BATCH, slots, width), "read": first, "usage": first[:, :1]}
    return p, start, lambda x, s: lrua_step(Parts(apply(p, "heads", x)), s, slots, width, heads)


def lrua_step(e, s, slots, width, heads, decay=.95):
    """Santoro et al. 2016, section 3.2."""
    keys = torch.tanh(e.next(heads, width))
    gates = torch.sigmoid(e.next(heads, 1))
    e.done()
    usage = s["usage"][:, 0]
    least = torch.zeros(BATCH, slots, dtype=torch.float64)
    wiped = torch.ones(BATCH, slots, dtype=torch.float64)
    for b in range(BATCH):
        order = sorted(range(slots), key=lambda i: (usage[b, i].item(), i))
        for i in order[:heads]:
            least[b, i] = 1
        wiped[b, order[0]] = 0
    write = gates * s["read"] + (1 - gates) * least.unsqueeze(1)
    M = s["memory"] * wiped.unsqueeze(2) + write.transpose(1, 2) @ keys
    scores = torch.stack([cosine(keys[:, h:h + 1], M, 0) for h in range(heads)], 1)
    read = torch.softmax(scores, -1)
    u = (decay * s["usage"] + read.sum(1, keepdim=True) + write.sum(1, keepdim=True)).detach()
    return (read @ M).flatten(1), {"memory": M, "read": read, "write": write, "usage": u}


def nutm(programs, slots=5, width=3, heads=2, key=4):
    """Le et al. 2020, section 3, on LRUA: the interface weight of a step is the mixture of the programs."""
    p = {}
    out = heads * (width + 1)
    linear(p, "core.heads", out, CONTROL)
    p["core.initial_memory"] = draw(slots, width)
    names = ["core.heads"]
    for i in range(2, programs + 1):
        linear(p, f"program{i}", out, CONTROL)
        names.append(f"program{i}")
    p["keys"] = draw(programs, key)
    linear(p, "query", key + 1, CONTROL)

    def step(x, s):
        q = apply(p, "query", x)
        q, strength = q[:, :key], F.softplus(q[:, key:])
        w = torch.softmax(strength * torch.stack([cosine(q, p["keys"][i], 0) for i in range(programs)], 1), -1)
        rows = []
        for b in range(BATCH):
            W = sum(w[b, i] * p[n + ".weight"] for i, n in enumerate(names))
            c = sum(w[b, i] * p[n + ".bias"] for i, n in enumerate(names))
            rows.append(W @ x[b] + c)
        return lrua_step(Parts(torch.stack(rows)), s, slots, width, heads)

    first = torch.zeros(BATCH, heads, slots, dtype=torch.float64)
    first[:, :, 0] = 1
    start = {"memory": p["core.initial_memory"].expand(BATCH, slots, width), "read": first, "usage": first[:, :1]}
    return p, start, step


def dnc(writes, reads, slots=4, width=3, repaired=False):
    """Graves et al. 2016, Methods, with several write heads as in the authors' public code."""
    p = {}
    out = reads * width + 3 * writes * width + (3 + 2 * writes) * reads + 3 * writes
    if repaired:
        out += (reads + writes) * width + 2 * reads * writes
    linear(p, "interface", out, CONTROL)
    p["initial_memory"] = draw(slots, width)

    def content(M, keys, strengths, masks):
        rows = []
        for h in range(keys.shape[1]):
            if masks is None:
                c = cosine(keys[:, h:h + 1], M, 0)
            else:
                m = masks[:, h:h + 1]
                c = cosine(keys[:, h:h + 1] * m, M * m, 1e-6)
            rows.append(torch.softmax(strengths[:, h] * c, -1))
        return torch.stack(rows, 1)

    def allocation(usage):  # [batch, slots]
        rows = []
        for b in range(BATCH):
            u = usage[b] * (1 - 1e-6) + 1e-6
            order = sorted(range(slots), key=lambda i: (usage[b, i].item(), i))
            a, before = [None] * slots, torch.ones((), dtype=torch.float64)
            for i in order:
                a[i] = (1 - u[i]) * before
                before = before * u[i]
            rows.append(torch.stack(a))
        return torch.stack(rows)

    def sharp(w, power):
        d = (w + 1e-6) ** power
        return d / d.sum(-1, keepdim=True)

    def step(x, s):
        e = Parts(apply(p, "interface", x).clamp(-20, 20))
        read_keys, write_keys, add = e.next(reads, width), e.next(writes, width), e.next(writes, width)
        erase = torch.sigmoid(e.next(writes, width))
        strengths = 1 + F.softplus(e.next(reads + writes, 1))
        free, allocate, gate = (torch.sigmoid(e.next(n, 1)) for n in (reads, writes, writes))
        modes = torch.softmax(e.next(reads, 1 + 2 * writes), -1)
        read_masks = write_masks = None
        if repaired:
            masks = .1 + .9 * torch.sigmoid(e.next(reads + writes, width))
            read_masks, write_masks = masks[:, :reads], masks[:, reads:]
            powers = 1 + F.softplus(e.next(2 * reads * writes, 1))
        e.done()
        retained = torch.prod(1 - free * s["read"], 1)
        written = 1 - torch.prod(1 - s["write"], 1)
        u = s["usage"][:, 0]
        u = (u + written - u * written) * retained
        c = content(s["memory"], write_keys, strengths[:, reads:], write_masks)
        rest, ws = u, []
        for j in range(writes):
            a = allocation(rest)
            g, t = gate[:, j], allocate[:, j]
            ws.append(g * (t * a + (1 - t) * c[:, j]))
            rest = rest + (1 - rest) * g * t * a
        w = torch.stack(ws, 1)
        M = s["memory"]
        if repaired:
            M = M * retained.unsqueeze(2)
        for j in range(writes):
            M = M * (1 - w[:, j].unsqueeze(2) * erase[:, j:j + 1])
        for j in range(writes):
            M = M + w[:, j].unsqueeze(2) * add[:, j:j + 1]
        c = content(M, read_keys, strengths[:, :reads], read_masks)
        out = modes[:, :, writes:writes + 1] * c
        links, precedences = [], []
        old = s["link"] if writes > 1 else s["link"].unsqueeze(1)
        eye = torch.eye(slots, dtype=torch.float64)
        for j in range(writes):
            wj = w[:, j]
            L = (1 - wj.unsqueeze(2) - wj.unsqueeze(1)) * old[:, j] + wj.unsqueeze(2) * s["precedence"][:, j].unsqueeze(1)
            L = L * (1 - eye)
            links.append(L)
            precedences.append((1 - wj.sum(1, keepdim=True)) * s["precedence"][:, j] + wj)
            forward = torch.stack([(L @ s["read"][:, r].unsqueeze(2)).squeeze(2) for r in range(reads)], 1)
            backward = torch.stack([(L.transpose(1, 2) @ s["read"][:, r].unsqueeze(2)).squeeze(2) for r in range(reads)], 1)
            if repaired:
                backward = sharp(backward, powers[:, j * reads:(j + 1) * reads])
                forward = sharp(forward, powers[:, (writes + j) * reads:(writes + j + 1) * reads])
            out = out + modes[:, :, j:j + 1] * backward + modes[:, :, writes + 1 + j:writes + 2 + j] * forward
        link = torch.stack(links, 1) if writes > 1 else links[0]
        return (out @ M).flatten(1), {
            "memory": M, "usage": u.unsqueeze(1), "link": link, "precedence": torch.stack(precedences, 1), "read": out, "write": w,
        }

    zero = lambda *shape: torch.zeros(BATCH, *shape, dtype=torch.float64)
    return p, {
        "memory": p["initial_memory"].expand(BATCH, slots, width), "usage": zero(1, slots), "precedence": zero(writes, slots),
        "link": zero(writes, slots, slots) if writes > 1 else zero(slots, slots), "read": zero(reads, slots), "write": zero(writes, slots),
    }, step


def sparse(reads, slots, heads=2, width=3, delta=.005):
    """Rae et al. 2016, section 3, over the whole memory."""
    p = {}
    linear(p, "heads", heads * (2 * width + 3), CONTROL)

    def step(x, s):
        e = Parts(apply(p, "heads", x).clamp(-20, 20))
        queries, words = e.next(heads, width), e.next(heads, width)
        strengths = 1 + F.softplus(e.next(heads, 1))
        write, mix = torch.sigmoid(e.next(heads, 1)), torch.sigmoid(e.next(heads, 1))
        e.done()
        memories, weightings, orders = [], [], []
        for b in range(BATCH):
            order = [int(v) for v in s["order"][b]]
            least = order[:heads]
            keep = torch.ones(slots, 1, dtype=torch.float64)
            keep[least] = 0
            M = s["memory"][b] * keep
            total = torch.zeros(slots, dtype=torch.float64)
            for h in range(heads):
                lra = torch.zeros(slots, dtype=torch.float64)
                lra[least[h]] = 1
                w = write[b, h] * (mix[b, h] * s["read"][b, h] + (1 - mix[b, h]) * lra)
                M = M + w.unsqueeze(1) * words[b, h]
                total = total + w
            rows = []
            for h in range(heads):
                c = cosine(queries[b, h], M, 1e-6)
                plain = [round(float(F.cosine_similarity(queries[b, h], M[i], 0) if M[i].any() else 0) * 1e5) for i in range(slots)]
                top = sorted(range(slots), key=lambda i: (-plain[i], i))[:reads]  # equal to 1e-5 is equal
                w = torch.softmax(strengths[b, h] * c[top], -1)
                row = torch.zeros(slots, dtype=torch.float64).index_put((torch.tensor(top),), w)
                rows.append(row)
                total = total + row
            for i in range(slots):
                if total[i] > delta:
                    order.remove(i)
                    order.append(i)
            memories.append(M)
            weightings.append(torch.stack(rows))
            orders.append(torch.tensor(order, dtype=torch.float64))
        M, w = torch.stack(memories), torch.stack(weightings)
        return (w @ M).flatten(1), {"memory": M, "read": w, "order": torch.stack(orders)}

    order = torch.arange(slots, dtype=torch.float64).expand(BATCH, slots)
    zero = lambda *shape: torch.zeros(BATCH, *shape, dtype=torch.float64)
    return p, {"memory": zero(slots, width), "read": zero(heads, slots), "order": order}, step


def case(name, made):
    params, state, step = made
    xs = draw(STEPS, BATCH, CONTROL)
    reads, loss = [], 0
    for t in range(STEPS):
        read, state = step(xs[t], state)
        reads.append(read)
    reads = torch.stack(reads)
    weights = draw(*reads.shape).detach()
    loss = (weights * reads).sum()
    for n, v in state.items():
        if n == "memory":
            more = draw(*v.shape).detach()
            loss = loss + (more * v).sum()
    names = list(params)
    grads = torch.autograd.grad(loss, [params[n] for n in names] + [xs], allow_unused=True)
    return {
        "name": name, "params": {n: array(params[n]) for n in names}, "inputs": array(xs), "reads": array(reads),
        "state": {n: array(v) for n, v in state.items()}, "weights": array(weights), "memory_weights": array(more),
        "gradients": {n: array(g) for n, g in zip(names + ["inputs"], grads) if g is not None},
    }


def main():
    cases = [
        case("relational", relational("unit", 1)), case("relational, slot gates, two blocks", relational("slot", 2)),
        case("relational without gates", relational("none", 1)), case("nutm", nutm(3)), case("dnc, two write heads", dnc(2, 2)),
        case("dnc, two write heads, repaired", dnc(2, 1, repaired=True)),
        case("sparse", sparse(2, 7)), case("sparse, all slots", sparse(5, 5)),
        case("ntm", ntm(1, 1, 1)), case("ntm, several heads", ntm(2, 2, 2)), case("lrua", lrua()),
    ]
    path = pathlib.Path(__file__).resolve().parent / "recurrent.json"
    path.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
