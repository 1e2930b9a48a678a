"""A training step of a Differentiable Neural Computer on copy: copying in sequences.go. It has one head of each
kind, so heads cannot be batched and the forms differ only in the settings of the process."""
import common
import recurrent
import torch
from recurrent import BITS, LENGTH
from torch.nn import functional

SIZE, SLOTS, WIDTH = 100, 128, 20
SIZES = [WIDTH, WIDTH, WIDTH, WIDTH, 1, 1, 1, 1, 1, 3]


def setup():
    batch = int(common.ARGS[0])
    params = recurrent.parameters((sum(SIZES), SIZE), (sum(SIZES),), (4 * SIZE, BITS + 1 + WIDTH), (4 * SIZE, SIZE), (4 * SIZE,),
                                  (4 * SIZE,), (BITS, SIZE + WIDTH), (BITS,))
    emit_w, emit_b, *lstm, out_w, out_b = params
    x, bits = recurrent.copy_task(batch)
    mask = 1 - torch.eye(SLOTS)

    def address(s, e):
        memory, usage, link, precedence, read, write = s
        parts = [v.unsqueeze(1) for v in e.clamp(-20, 20).split(SIZES, 1)]
        read_key, write_key, add, erase, read_strength, write_strength, free, allocation_gate, write_gate, modes = parts
        usage = (usage + write - usage * write) * (1 - torch.sigmoid(free) * read)
        sorted_usage, order = torch.sort(usage.detach(), dim=2, stable=True)
        sorted_usage = (usage * (1 - 1e-6) + 1e-6).gather(2, order)
        allocation = 1 - sorted_usage
        allocation = torch.cat([allocation[..., :1], allocation[..., 1:] * sorted_usage.cumprod(2)[..., :-1]], 2)
        allocation = torch.zeros_like(allocation).scatter(2, order, allocation)
        content = torch.softmax(recurrent.cosine(write_key, memory) * (1 + functional.softplus(write_strength)), 2)
        write = torch.lerp(content, allocation, torch.sigmoid(allocation_gate)) * torch.sigmoid(write_gate)
        to = write.transpose(1, 2)
        memory = memory * (1 - to @ torch.sigmoid(erase)) + to @ add
        link = (link * (1 - to - write) + to @ precedence) * mask
        precedence = precedence * (1 - write.sum(2, keepdim=True)) + write
        content = torch.softmax(recurrent.cosine(read_key, memory) * (1 + functional.softplus(read_strength)), 2)
        modes = torch.softmax(modes, 2)
        read = (read @ link) * modes[..., :1] + content * modes[..., 1:2] + (read @ link.transpose(1, 2)) * modes[..., 2:]
        return (read @ memory).squeeze(1), (memory, usage, link, precedence, read, write)

    def loss():
        none = torch.zeros(batch, 1, SLOTS)
        state = torch.full((batch, SLOTS, WIDTH), 1e-6), none, torch.zeros(batch, SLOTS, SLOTS), none, none, none
        h = c = torch.zeros(batch, SIZE)
        read = torch.zeros(batch, WIDTH)
        hidden = []
        for t in range(2 * LENGTH + 1):
            h, c = recurrent.cell(torch.cat([x[t], read], 1), (h, c), lstm)
            read, state = address(state, functional.linear(h, emit_w, emit_b))
            hidden.append(torch.cat([h, read], 1))
        logits = functional.linear(torch.stack(hidden[LENGTH + 1:]), out_w, out_b)
        return functional.binary_cross_entropy_with_logits(logits, bits, reduction="sum") / batch

    return common.trained(params, loss)


common.serve(setup)
