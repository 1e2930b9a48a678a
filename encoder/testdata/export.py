"""Writes the fixtures of package encoder. Made with PyTorch 1.13.0 (Debian's python3-torch 1.13.1):

    python3 encoder/testdata/export.py

resnet.pt, transformer.pt and yolo.pt are modules that torch.jit.script exported; resnet.json, transformer.json, yolo.json and resnet12.json
hold inputs' seeds and what PyTorch makes of them. resnet12.pt is the state dict of a narrow ResNet-12. The modules in folder
faults are exported in ways that users export modules by mistake.
"""
import json
import math
import os

import torch
from torch import nn
from torch.nn import functional as F

here = os.path.dirname(os.path.abspath(__file__))


class Block(nn.Module):
    def __init__(self, inp, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.down(x))


class ResNet(nn.Module):
    """A residual network as torchvision's, small: [n, 3, height, width] to [n, 16]."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = Block(8, 8, 2)
        self.layer2 = Block(8, 16, 2)

    def forward(self, x):
        return self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))).mean([2, 3])


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * width, width))

    def forward(self, x):
        n, t, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(w // self.heads), -1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(n, t, w))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A transformer encoder as BERT, small: token numbers [n, 12] of a vocabulary of 20 to [n, 16]."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(20, 16)
        self.positions = nn.Parameter(torch.randn(12, 16) * 0.02)
        self.layers = nn.Sequential(Attention(16, 2), Attention(16, 2))
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        return self.norm(self.layers(self.tokens(x) + self.positions)).mean(1)


class SiLUConv(nn.Module):
    """Conv of Ultralytics' detectors, with the names of its state dicts; as the other modules of YOLOv8 below."""

    def __init__(self, inp, out, kernel=1, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inp, out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return F.silu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cv1 = SiLUConv(width, width, 3)
        self.cv2 = SiLUConv(width, width, 3)

    def forward(self, x):
        return x + self.cv2(self.cv1(x))


class C2f(nn.Module):
    """A cross-stage-partial block."""

    def __init__(self, width, repeats):
        super().__init__()
        self.cv1 = SiLUConv(width, width)
        self.cv2 = SiLUConv((2 + repeats) * (width // 2), width)
        self.m = nn.ModuleList(Bottleneck(width // 2) for _ in range(repeats))

    def forward(self, x):
        parts = list(self.cv1(x).chunk(2, 1))
        for m in self.m:
            parts.append(m(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class SPPF(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cv1 = SiLUConv(width, width // 2)
        self.cv2 = SiLUConv(2 * width, width)

    def forward(self, x):
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.cv2(torch.cat(parts, 1))


class Detector(nn.Module):
    """A backbone as YOLOv8's, narrow and without its layers of stride 32: [n, 3, height, width] to [n, 40], the means over positions
    of the maps of layers 4 (stride 8), 6 and 7 (stride 16, the pooling)."""

    def __init__(self, filters):
        super().__init__()
        layers, width = [SiLUConv(3, filters, 3, 2)], filters
        for repeats in (1, 2, 2):
            layers += [SiLUConv(width, 2 * width, 3, 2), C2f(2 * width, repeats)]
            width *= 2
        self.model = nn.Sequential(*layers, SPPF(width))

    def forward(self, x):
        taken = []
        for i, layer in enumerate(self.model):
            x = layer(x)
            if i == 4 or i == 6 or i == 7:
                taken.append(x.mean([2, 3]))
        return torch.cat(taken, 1)


class Tuple(nn.Module):
    """What an encoder must not be: its forward gives two tensors."""

    def forward(self, x):
        return x, x


class Sequence(nn.Module):
    """Nor this: an embedding a position."""

    def forward(self, x):
        return x.mean(1)


class ResNet12Block(nn.Module):
    """Lee et al. 2019, models/ResNet12_embedding.py, without drop-out."""

    def __init__(self, inp, out):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.conv3 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        self.shortcut.conv = nn.Conv2d(inp, out, 1, bias=False)
        self.shortcut.norm = nn.BatchNorm2d(out)

    def forward(self, x):
        y = F.leaky_relu(self.norm1(self.conv1(x)), 0.1)
        y = F.leaky_relu(self.norm2(self.conv2(y)), 0.1)
        y = self.norm3(self.conv3(y))
        y = F.leaky_relu(y + self.shortcut.norm(self.shortcut.conv(x)), 0.1)
        return F.max_pool2d(y, 2)


class ResNet12(nn.Module):
    def __init__(self, channels, filters, pool):
        super().__init__()
        for i, (inp, out) in enumerate(zip([channels] + filters, filters)):
            setattr(self, "block%d" % (i + 1), ResNet12Block(inp, out))
        self.pool = pool

    def forward(self, x):
        for i in range(4):
            x = getattr(self, "block%d" % (i + 1))(x)
        return x.mean([2, 3]) if self.pool else x.flatten(1)


class Conv4(nn.Module):
    """Conv-4 with convolutions without bias and pooling with ceil_mode."""

    def __init__(self, filters):
        super().__init__()
        for i in range(4):
            block = nn.Module()
            block.conv = nn.Conv2d(filters if i else 3, filters, 3, padding=1, bias=False)
            block.norm = nn.BatchNorm2d(filters)
            setattr(self, "block%d" % (i + 1), block)

    def forward(self, x):
        for i in range(4):
            block = getattr(self, "block%d" % (i + 1))
            x = F.max_pool2d(F.relu(block.norm(block.conv(x))), 2, ceil_mode=True)
        return x.flatten(1)


def settle(net, x):
    """Gives the batch norms statistics and gains that are not those of a fresh layer."""
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -0.3, 0.3)
            nn.init.uniform_(m.running_mean, -0.2, 0.2)
            nn.init.uniform_(m.running_var, 0.5, 1.5)
    return net


def numbers(t):
    return [round(v, 7) for v in t.detach().double().flatten().tolist()]


def fixture(net, x):
    """The embeddings under running and under batch statistics, and gradients of the sum of their squares."""
    net.eval()
    out = {"input": numbers(x) if x.is_floating_point() else x.flatten().tolist(), "shape": list(x.shape), "eval": numbers(net(x))}
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.train()
    y = net(x)
    out["train"] = numbers(y)
    names = [n for n, _ in net.named_parameters()]
    grads = torch.autograd.grad(y.square().sum(), list(net.parameters()))
    out["gradients"] = {n: float("%.6g" % g.double().norm()) for n, g in zip(names, grads)}
    out["buffers"] = {n: numbers(b) for n, b in net.named_buffers() if b.numel() <= 8}
    return out


def write(name, value):
    with open(os.path.join(here, name), "w") as f:
        json.dump(value, f)
        f.write("\n")


class Small(nn.Module):
    """[n, 1, 8, 8] to [n, 4], with batch norm and dropout."""

    def __init__(self, norm=True, drop=0.0, track=True):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4, track_running_stats=track) if norm else nn.Identity()
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        return self.drop(F.relu(self.norm(self.conv(x)))).mean([2, 3])


class InPlace(Small):
    """Changes its input in place."""

    def forward(self, x):
        return super().forward(x.mul_(0.5).sub_(0.25))


class Counting(Small):
    """Adds to a buffer at each call, which its output depends on only later."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen += x.size(0)
        return super().forward(x)


class NoGrad(Small):
    def forward(self, x):
        with torch.no_grad():
            return F.relu(self.norm(self.conv(x))).mean([2, 3])


def faults():
    torch.manual_seed(2)
    folder = os.path.join(here, "faults")
    os.makedirs(folder, exist_ok=True)
    x = torch.rand(2, 1, 8, 8)

    def save(name, module):
        module.save(os.path.join(folder, name + ".pt"))

    in_place = InPlace().eval()
    save("in-place", torch.jit.trace(in_place, x.clone()))
    write(os.path.join("faults", "in-place.json"), {"input": numbers(x), "shape": list(x.shape), "eval": numbers(in_place(x.clone()))})
    save("traced-norm", torch.jit.trace(Small(), x, check_trace=False))
    save("traced-dropout", torch.jit.trace(Small(norm=False, drop=0.5), x, check_trace=False))
    save("untracked", torch.jit.script(Small(track=False).eval()))
    save("counting", torch.jit.trace(Counting().eval(), x, check_trace=False))
    save("half", torch.jit.script(Small().eval().half()))
    save("frozen", torch.jit.freeze(torch.jit.script(Small().eval())))
    save("frozen-half", torch.jit.freeze(torch.jit.script(Small().eval().half()), optimize_numerics=False))
    save("no-grad", torch.jit.script(NoGrad().eval()))
    embedding = nn.Sequential(nn.Embedding(4, 6), nn.Flatten()).eval().half()
    save("half-tokens", torch.jit.script(embedding))


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    x = torch.rand(3, 3, 12, 12).mul(256).round().div(256)
    net = settle(ResNet(), x).eval()
    torch.jit.script(net).save(os.path.join(here, "resnet.pt"))
    write("resnet.json", fixture(net, x))

    net = Transformer().eval()
    torch.jit.script(net).save(os.path.join(here, "transformer.pt"))
    write("transformer.json", fixture(net, torch.randint(20, (4, 12))))

    torch.jit.script(Tuple()).save(os.path.join(here, "tuple.pt"))
    torch.jit.script(Sequence()).save(os.path.join(here, "sequence.pt"))

    x = torch.rand(2, 1, 32, 32).mul(256).round().div(256)
    net = settle(ResNet12(1, [4, 6, 8, 10], True), x)
    torch.save(net.state_dict(), os.path.join(here, "resnet12.pt"))
    write("resnet12.json", fixture(net, x))
    faults()

    torch.manual_seed(3)
    x = torch.rand(3, 3, 22, 18).mul(256).round().div(256)
    net = settle(Conv4(4), x)
    torch.save(net.state_dict(), os.path.join(here, "conv4.pt"))
    write("conv4.json", fixture(net, x))

    torch.manual_seed(4)
    x = (torch.arange(2 * 3 * 40 * 24) * 37 % 256).div(256).reshape(2, 3, 40, 24)
    net = settle(Detector(2), x).eval()
    torch.jit.script(net).save(os.path.join(here, "yolo.pt"))
    write("yolo.json", {k: v for k, v in fixture(net, x).items() if k != "input"})


main()
