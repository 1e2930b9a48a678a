import math
import sys

import common
import torch
from torch.nn import functional as F

WAY, SIZE, WIDTH, RATE, TASKS = 5, 28, 64, 0.4, int(sys.argv[3])


def setup():
    second = sys.argv[2] == "second"
    params = []
    for i in range(4):
        channels = 1 if i == 0 else WIDTH
        bound = 1 / math.sqrt(9 * channels)
        params += [(2 * common.uniform(10 * (i + 1), WIDTH, channels, 3, 3) - 1) * bound, (2 * common.uniform(10 * (i + 1) + 1, WIDTH) - 1) * bound]
        params += [torch.ones(WIDTH), torch.zeros(WIDTH)]
    params += [(2 * common.uniform(50 + i, *shape) - 1) / math.sqrt(WIDTH) for i, shape in enumerate([(WAY, WIDTH), (WAY,)])]
    for p in params:
        p.requires_grad_()
    adam = torch.optim.Adam(params, lr=1e-3)
    images = common.uniform(1, TASKS, 2 * WAY, 1, SIZE, SIZE)
    support, query, labels = images[:, :WAY], images[:, WAY:], torch.arange(WAY)

    def loss(p, x):
        for i in range(0, 16, 4):
            x = F.conv2d(x, p[i], p[i + 1], stride=2, padding=1)
            x = F.relu(F.batch_norm(x, None, None, p[i + 2], p[i + 3], training=True))
        return F.cross_entropy(F.linear(x.mean((2, 3)), p[16], p[17]), labels)

    def step():
        adam.zero_grad(set_to_none=True)
        total = 0
        for t in range(TASKS):
            grads = torch.autograd.grad(loss(params, support[t]), params, create_graph=second)
            of = loss([p - RATE * g for p, g in zip(params, grads)], query[t]) / TASKS
            of.backward()
            total += of.item()
        adam.step()
        return total

    return lambda n: [step() for _ in range(n)]


common.serve(int(sys.argv[1]), setup)
