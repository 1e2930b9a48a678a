"""ResNet-18 on images of 224 pixels: photographs in images.go. The argument is the number of images.

The plain form computes as torchvision's resnet18 does. best has the batch norms in the convolutions and channels last; folded is
the same without channels last.
"""
import math

import common
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

IMAGES, SIZE = int(common.ARGS[0]), 224
FOLDED = common.FORM in ("best", "folded")


class Block(nn.Module):
    def __init__(self, inp, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        if stride > 1 or inp != out:
            self.downsample = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        else:
            self.downsample = nn.Identity()

    def fold(self):
        self.conv1, self.bn1 = fuse_conv_bn_eval(self.conv1, self.bn1), nn.Identity()
        self.conv2, self.bn2 = fuse_conv_bn_eval(self.conv2, self.bn2), nn.Identity()
        if isinstance(self.downsample, nn.Sequential):
            self.downsample = fuse_conv_bn_eval(*self.downsample)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.downsample(x)
        return self.relu(y)


def setup():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    sizes = [64, 64, 128, 256, 512]
    blocks = [b for i, (inp, out) in enumerate(zip(sizes, sizes[1:])) for b in (Block(inp, out, 1 + (i > 0)), Block(out, out, 1))]
    net = nn.Sequential(*stem, *blocks).to(common.DEVICE).eval()
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            if p.dim() == 4:
                p.copy_(common.within(math.sqrt(6 / p[0].numel()), 10 + i, *p.shape))
        if FOLDED:
            net[0], net[1] = fuse_conv_bn_eval(net[0], net[1]), nn.Identity()
            for block in blocks:
                block.fold()
    net = common.laid_out(net)
    x = common.laid_out(common.uniform(1, IMAGES, 3, SIZE, SIZE))

    def step():
        with torch.inference_mode() if FOLDED else torch.no_grad():
            return net(x).mean([2, 3]).square().mean().item()

    return common.repeated(step)


common.serve(setup)
