"""A training step of MANN: remembering in sequences.go. The plain form computes one head after another, as public
code does; the best form computes all heads at once."""
import common
import recurrent
import torch
from torch.nn import functional

CLASSES, EACH, PIXELS, SIZE, SLOTS, WIDTH, HEADS, DECAY = 5, 10, 400, 200, 128, 40, 4, 0.95
TIME = CLASSES * EACH
SIZES = [HEADS * WIDTH, HEADS, HEADS * WIDTH, HEADS]  # keys, gates, added vectors, strengths


def setup():
    batch = int(common.ARGS[0])
    params = recurrent.parameters((sum(SIZES), SIZE), (sum(SIZES),), (4 * SIZE, PIXELS + CLASSES + HEADS * WIDTH), (4 * SIZE, SIZE),
                                  (4 * SIZE,), (4 * SIZE,), (CLASSES, SIZE + HEADS * WIDTH), (CLASSES,))
    emit_w, emit_b, *lstm, out_w, out_b = params
    images = common.uniform(1, TIME, batch, PIXELS)
    labels = common.words(2, CLASSES, TIME, batch)
    told = functional.one_hot(labels, CLASSES).float()
    x = torch.cat([images, torch.cat([torch.zeros(1, batch, CLASSES), told[:-1]])], 2)
    on_first = torch.zeros(batch, HEADS, SLOTS)
    on_first[:, :, 0] = 1

    def address(memory, read, usage, e):
        keys, gates, add, strengths = e.split(SIZES, 1)
        keys, add = torch.tanh(keys).view(batch, HEADS, WIDTH), torch.tanh(add).view(batch, HEADS, WIDTH)
        gates, strengths = torch.sigmoid(gates).unsqueeze(2), functional.softplus(strengths).unsqueeze(2)
        order = torch.sort(usage, dim=1, stable=True)[1][:, :HEADS]
        least = functional.one_hot(order, SLOTS).float()
        wiped = memory * (1 - least.sum(1)).unsqueeze(2)
        if common.BEST:
            write = torch.lerp(least, read, gates)
            memory = torch.baddbmm(wiped, write.transpose(1, 2), add)
            read = torch.softmax(recurrent.cosine(keys, memory) * strengths, 2)
            out = (read @ memory).flatten(1)
        else:
            write = [least[:, i] + (read[:, i] - least[:, i]) * gates[:, i] for i in range(HEADS)]
            memory = wiped
            for i in range(HEADS):
                memory = memory + write[i].unsqueeze(2) * add[:, i].unsqueeze(1)
            write = torch.stack(write, 1)
            read = torch.stack([
                torch.softmax(recurrent.cosine(keys[:, i:i + 1], memory).squeeze(1) * strengths[:, i], 1) for i in range(HEADS)], 1)
            out = torch.cat([torch.bmm(read[:, i:i + 1], memory).squeeze(1) for i in range(HEADS)], 1)
        usage = (DECAY * usage + read.sum(1) + write.sum(1)).detach()
        return out, memory, read, usage

    def loss():
        memory, read, usage = torch.full((batch, SLOTS, WIDTH), 1e-6), on_first, on_first[:, 0]
        h = c = torch.zeros(batch, SIZE)
        got = torch.zeros(batch, HEADS * WIDTH)
        hidden = []
        for t in range(TIME):
            h, c = recurrent.cell(torch.cat([x[t], got], 1), (h, c), lstm)
            got, memory, read, usage = address(memory, read, usage, functional.linear(h, emit_w, emit_b))
            hidden.append(torch.cat([h, got], 1))
        scores = functional.linear(torch.stack(hidden), out_w, out_b)
        return functional.cross_entropy(scores.flatten(0, 1), labels.flatten())

    return common.trained(params, loss)


common.serve(setup)
