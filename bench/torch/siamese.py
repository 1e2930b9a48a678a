"""A training step of Koch's Siamese network, with batch norm, on pairs: koch in images.go."""
import math

import common
import torch
from torch import nn
from torch.nn import functional

PAIRS, SIZE, WIDTH, SCALE = int(common.ARGS[0]), 105, 4096, 8


def setup():
    layers, channels = [], 1
    for i, (kernel, filters) in enumerate([(10, 64), (7, 128), (4, 128), (4, 256)]):
        layers.append(common.block(10 * (i + 1), channels, filters, padding=0, pool=i < 3, kernel=kernel))
        channels = filters
    net, last = common.laid_out(nn.Sequential(*layers)), nn.Linear(256 * 36, WIDTH)
    common.fill(last.parameters(), 1 / math.sqrt(256 * 36), 50)
    weight, bias = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.full((1,), 3.0))
    x = common.laid_out(common.uniform(1, 2 * PAIRS, 1, SIZE, SIZE))
    same = (torch.arange(PAIRS) % 2 == 0).float()

    def loss():
        z = torch.sigmoid(last(net(x).flatten(1)))
        logits = (z[:PAIRS] - z[PAIRS:]).abs() @ weight * (-SCALE / WIDTH) + bias
        alike = (functional.softplus(-logits) * same).sum() / same.sum()
        apart = (functional.softplus(logits) * (1 - same)).sum() / (1 - same).sum()
        return (alike + apart) / 2

    return common.trained([*net.parameters(), *last.parameters(), weight, bias], loss, rate=3e-4)


common.serve(setup)
