"""A training step of a Neural Turing Machine on copy, all heads and sequences at once: copyNTM in workloads.go."""
import sys

import common
import torch
from torch.nn import functional

BITS, LENGTH, SIZE, SLOTS, WIDTH, SHIFT = 8, 20, 100, 128, 20, 1
HEADS, SHIFTS = 2, 2 * SHIFT + 1  # one that reads and one that writes
EMISSION = HEADS * (WIDTH + 3 + SHIFTS) + 2 * WIDTH


def setup():
    batch = int(sys.argv[2])
    # In the order of the Go side's parameters.
    shapes = [(EMISSION, SIZE), (EMISSION,), (HEADS, SLOTS), (4 * SIZE, BITS + 1 + WIDTH), (4 * SIZE, SIZE), (4 * SIZE,),
              (4 * SIZE,), (BITS, SIZE + WIDTH), (BITS,)]
    params = [torch.nn.Parameter(0.2 * common.uniform(10 + i, *s) - 0.1) for i, s in enumerate(shapes)]
    emit_w, emit_b, start, wi, wh, bi, bh, out_w, out_b = params
    bits = (common.uniform(1, LENGTH, batch, BITS) > 0.5).float()
    x = torch.zeros(2 * LENGTH + 1, batch, BITS + 1)
    x[:LENGTH, :, :BITS] = bits
    x[LENGTH, :, BITS] = 1
    adam = torch.optim.Adam(params, lr=1e-3)
    sizes = [HEADS * WIDTH, 2 * HEADS, HEADS, HEADS * SHIFTS, WIDTH, WIDTH]

    def address(memory, w, e):
        keys, scales, gates, shifts, erase, add = e.clamp(-20, 20).split(sizes, 1)
        keys = torch.tanh(keys).view(batch, HEADS, WIDTH)
        scales = functional.softplus(scales).view(batch, 2, HEADS, 1)
        cosine = functional.normalize(keys, dim=2) @ functional.normalize(memory, dim=2).transpose(1, 2)
        content = torch.softmax(cosine * scales[:, 0], 2)
        w = torch.lerp(w, content, torch.sigmoid(gates).view(batch, HEADS, 1))
        shifts = torch.softmax(shifts.view(batch, HEADS, 1, SHIFTS), 3)
        moved = torch.stack([w.roll(j - SHIFT, 2) for j in range(SHIFTS)], 2)
        w = (shifts @ moved).squeeze(2)
        w = torch.softmax((w + 1e-30).log() * (scales[:, 1] + 1), 2)
        read = torch.bmm(w[:, :1], memory).squeeze(1)
        writing = w[:, 1].unsqueeze(2)
        memory = memory * (1 - writing * torch.sigmoid(erase).unsqueeze(1)) + writing * torch.tanh(add).unsqueeze(1)
        return read, w, memory

    def step():
        memory = torch.full((batch, SLOTS, WIDTH), 1e-6)
        w = torch.softmax(start, 1).expand(batch, HEADS, SLOTS)
        h = c = torch.zeros(batch, SIZE)
        read = torch.zeros(batch, WIDTH)
        hidden = []
        for t in range(2 * LENGTH + 1):
            h, c = torch._VF.lstm_cell(torch.cat([x[t], read], 1), (h, c), wi, wh, bi, bh)
            read, w, memory = address(memory, w, functional.linear(h, emit_w, emit_b))
            hidden.append(torch.cat([h, read], 1))
        logits = functional.linear(torch.stack(hidden[LENGTH + 1:]), out_w, out_b)
        loss = functional.binary_cross_entropy_with_logits(logits, bits, reduction="sum") / batch
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return loss.item()

    return lambda n: [step() for _ in range(n)]


common.serve(int(sys.argv[1]), setup)
