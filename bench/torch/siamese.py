"""A training step of Koch's Siamese network, with batch norm, on pairs: koch in images.go. The form fourier computes the
7×7 layer by discrete Fourier transforms of tiles, as Engram does."""
import math

import common
import torch
from torch import nn
from torch.nn import functional

PAIRS, SIZE, WIDTH, SCALE = int(common.ARGS[0]), 105, 4096, 8


class ByTiles(nn.Module):
    """A convolution without padding, composed of PyTorch's own Fourier transform and a complex product for each frequency."""
    TILE = 20

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        outputs, inputs, kernel, _ = self.conv.weight.shape
        each = self.TILE - kernel + 1  # outputs per tile along each axis
        tiles = torch.fft.rfft2(x.unfold(2, self.TILE, each).unfold(3, self.TILE, each))
        images, _, down, across, rows, columns = tiles.shape
        a = tiles.permute(4, 5, 0, 2, 3, 1).reshape(rows * columns, -1, inputs)
        b = torch.fft.rfft2(self.conv.weight, s=(self.TILE, self.TILE)).conj().permute(2, 3, 1, 0).reshape(rows * columns, inputs, outputs)
        c = torch.bmm(a, b).reshape(rows, columns, images, down, across, outputs).permute(2, 5, 3, 4, 0, 1)
        y = torch.fft.irfft2(c, s=(self.TILE, self.TILE))[..., :each, :each]
        return y.permute(0, 1, 2, 4, 3, 5).reshape(images, outputs, down * each, across * each) + self.conv.bias.view(1, -1, 1, 1)


def setup():
    layers, channels = [], 1
    for i, (kernel, filters) in enumerate([(10, 64), (7, 128), (4, 128), (4, 256)]):
        layers.append(common.block(10 * (i + 1), channels, filters, padding=0, pool=i < 3, kernel=kernel))
        if kernel == 7 and common.FORM == "fourier":
            layers[-1][0] = ByTiles(layers[-1][0])
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
