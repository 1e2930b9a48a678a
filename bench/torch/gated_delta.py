"""The gated delta rule, forward and backward: gatedDelta in sequences.go. The form plain goes token by token, as the rule is written;
best goes chunk by chunk (Yang, Kautz and Hatamizadeh 2024, section 3.3), with the inverse by a triangular solve."""
import common
import torch

BATCH, HEADS, TIME, WIDTH, CHUNK = 16, 4, 256, 64, 64


def loop(q, k, v, rate, decay):
    s, out = torch.zeros(BATCH, HEADS, WIDTH, WIDTH), []
    for t in range(TIME):
        s = s * decay[:, :, t, :, None].exp()
        e = v[:, :, t] - torch.einsum("bhkv,bhk->bhv", s, k[:, :, t])
        s = s + torch.einsum("bhk,bhv->bhkv", k[:, :, t], rate[:, :, t] * e)
        out.append(torch.einsum("bhkv,bhk->bhv", s, q[:, :, t]))
    return torch.stack(out, 2)


def chunks(q, k, v, rate, decay):
    n = TIME // CHUNK
    q, k, v, rate, decay = (x.reshape(BATCH, HEADS, n, CHUNK, -1) for x in (q, k, v, rate, decay))
    g = decay.cumsum(3)
    lower = torch.ones(CHUNK, CHUNK).tril()
    scale = ((g - g.transpose(3, 4)) * lower).exp() * lower
    system = torch.eye(CHUNK) + rate * (k @ k.transpose(3, 4)) * scale.tril(-1)
    both = torch.linalg.solve_triangular(system, torch.cat([rate * v, rate * g.exp() * k], 4), upper=False, unitriangular=True)
    u, w = both[..., :WIDTH], both[..., WIDTH:]
    inside, asked = (q @ k.transpose(3, 4)) * scale, g.exp() * q
    last = g[:, :, :, -1:]
    kept, written = last.exp(), ((last - g).exp() * k).transpose(3, 4)
    s, out = torch.zeros(BATCH, HEADS, WIDTH, WIDTH), []
    for c in range(n):
        e = u[:, :, c] - w[:, :, c] @ s
        out.append(asked[:, :, c] @ s + inside[:, :, c] @ e)
        s = kept[:, :, c] * s + written[:, :, c] @ e
    return torch.cat(out, 2)


def setup():
    q, k, v = (common.within(0.1, salt, BATCH, HEADS, TIME, WIDTH).requires_grad_() for salt in (1, 2, 3))
    rate, decay = (common.within(0.1, salt, BATCH, HEADS, TIME, 1).requires_grad_() for salt in (4, 5))
    rule = chunks if common.BEST else loop

    def step():
        read = rule(q, k, v, torch.sigmoid(rate), -torch.nn.functional.softplus(decay))
        loss = read.square().sum()
        grads = torch.autograd.grad(loss, [q, k, v, rate, decay])
        return loss.item() + sum(g.square().sum() for g in grads).item()

    return common.repeated(step)


common.serve(setup)
