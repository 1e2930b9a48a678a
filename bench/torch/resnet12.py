"""ResNet-12 with 64, 160, 320 and 640 filters and the mean over positions: classifier and embedding in images.go. Arguments: the
number and the side of the images, and train or evaluate."""
import math

import common
import torch
from torch import nn
from torch.nn import functional as F

IMAGES, SIZE = (int(v) for v in common.ARGS[:2])
CLASSES = 64


class Block(nn.Module):
    """Lee et al. 2019, models/ResNet12_embedding.py, without drop-out."""

    def __init__(self, inp, out):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inp, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv3, self.norm3 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv4, self.norm4 = nn.Conv2d(inp, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.LeakyReLU(0.1, inplace=common.BEST)

    def forward(self, x):
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        y += self.norm4(self.conv4(x))
        return F.max_pool2d(self.relu(y), 2)


def setup():
    filters = [64, 160, 320, 640]
    net = nn.Sequential(*(Block(inp, out) for inp, out in zip([3] + filters, filters))).to(common.DEVICE)
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            if p.dim() == 4:
                p.copy_(common.within(math.sqrt(6 / p[0].numel()), 10 + i, *p.shape))
    last = nn.Linear(filters[-1], CLASSES).to(common.DEVICE)
    common.fill(last.parameters(), 1 / math.sqrt(filters[-1]), 90)
    net = common.laid_out(net)
    x = common.laid_out(common.uniform(1, IMAGES, 3, SIZE, SIZE))
    if common.ARGS[2] == "train":
        labels = torch.arange(IMAGES, device=common.DEVICE) % CLASSES
        return common.trained([*net.parameters(), *last.parameters()], lambda: F.cross_entropy(last(net(x).mean([2, 3])), labels))
    net.eval()

    def step():
        with torch.inference_mode() if common.BEST else torch.no_grad():
            return net(x).mean([2, 3]).square().mean().item()

    return common.repeated(step)


common.serve(setup)
