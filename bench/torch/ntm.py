"""A training step of a Neural Turing Machine on copy: copying in sequences.go. The plain form computes each head
separately, as public code does; the best form computes all heads at once."""
import common
import recurrent
import torch
from recurrent import BITS, LENGTH
from torch.nn import functional

SIZE, SLOTS, WIDTH, SHIFT = 100, 128, 20, 1
HEADS, SHIFTS = 2, 2 * SHIFT + 1  # one read head and one write head
EMISSION = HEADS * (WIDTH + 3 + SHIFTS) + 2 * WIDTH


def setup():
    batch = int(common.ARGS[0])
    params = recurrent.parameters((EMISSION, SIZE), (EMISSION,), (HEADS, SLOTS), (4 * SIZE, BITS + 1 + WIDTH), (4 * SIZE, SIZE),
                                  (4 * SIZE,), (4 * SIZE,), (BITS, SIZE + WIDTH), (BITS,))
    emit_w, emit_b, start, *lstm, out_w, out_b = params
    x, bits = recurrent.copy_task(batch)
    sizes = [HEADS * WIDTH, 2 * HEADS, HEADS, HEADS * SHIFTS, WIDTH, WIDTH]

    def weightings(memory, w, keys, scales, gates, shifts):
        """The weightings of some heads: of all heads in the best form, of one in the plain form."""
        n = w.shape[1]
        content = torch.softmax(recurrent.cosine(keys, memory) * scales[:, 0], 2)
        w = torch.lerp(w, content, gates)
        moved = torch.stack([w.roll(j - SHIFT, 2) for j in range(SHIFTS)], 2)
        w = (shifts.view(batch, n, 1, SHIFTS) @ moved).squeeze(2)
        return torch.softmax((w + 1e-30).log() * (scales[:, 1] + 1), 2)

    def address(memory, w, e):
        keys, scales, gates, shifts, erase, add = e.clamp(-20, 20).split(sizes, 1)
        keys = torch.tanh(keys).view(batch, HEADS, WIDTH)
        scales = functional.softplus(scales).view(batch, 2, HEADS, 1)
        gates = torch.sigmoid(gates).view(batch, HEADS, 1)
        shifts = torch.softmax(shifts.view(batch, HEADS, SHIFTS), 2)
        if common.BEST:
            w = weightings(memory, w, keys, scales, gates, shifts)
        else:
            w = torch.cat([
                weightings(memory, w[:, i:i + 1], keys[:, i:i + 1], scales[:, :, i:i + 1], gates[:, i:i + 1], shifts[:, i:i + 1])
                for i in range(HEADS)], 1)
        read = torch.bmm(w[:, :1], memory).squeeze(1)
        writing = w[:, 1].unsqueeze(2)
        memory = memory * (1 - writing * torch.sigmoid(erase).unsqueeze(1)) + writing * torch.tanh(add).unsqueeze(1)
        return read, w, memory

    def loss():
        memory = torch.full((batch, SLOTS, WIDTH), 1e-6)
        w = torch.softmax(start, 1).expand(batch, HEADS, SLOTS)
        h = c = torch.zeros(batch, SIZE)
        read = torch.zeros(batch, WIDTH)
        hidden = []
        for t in range(2 * LENGTH + 1):
            h, c = recurrent.cell(torch.cat([x[t], read], 1), (h, c), lstm)
            read, w, memory = address(memory, w, functional.linear(h, emit_w, emit_b))
            hidden.append(torch.cat([h, read], 1))
        logits = functional.linear(torch.stack(hidden[LENGTH + 1:]), out_w, out_b)
        return functional.binary_cross_entropy_with_logits(logits, bits, reduction="sum") / batch

    return common.trained(params, loss)


common.serve(setup)
