#!/usr/bin/env python3
"""Writes the fixtures that the tests of packages nn/weights and experiments compare with, beside this file: small files of
torch.save, and values.json with what PyTorch reads from them.

Needs PyTorch (Debian: apt install python3-torch):

    python3 nn/weights/testdata/fixtures.py
"""
import argparse
import collections
import json
import pathlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
torch.manual_seed(2024)
made = {"torch": torch.__version__, "tensors": {}}


def save(name, value, **settings):
    torch.save(value, HERE / name, **settings)


def both(name, value):
    save(name + ".pt", value)
    save(name + "-legacy.pt", value, _use_new_zipfile_serialization=False)


def values(t):
    return {"shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch."), "data": t.detach().double().flatten().tolist()}


# Every type, a view that is not contiguous, two tensors in one storage, a scalar, an empty tensor, a parameter.
base = torch.arange(12, dtype=torch.float32) / 7
kinds = collections.OrderedDict(
    float32=torch.randn(2, 3),
    transposed=torch.randn(3, 4).t(),
    first=base[:6].view(2, 3),
    second=base[5:9],
    strided=base[::4],
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3),
    parameter=nn.Parameter(torch.randn(4)),
    float64=torch.randn(3, dtype=torch.float64),
    float16=torch.randn(5).half(),
    bfloat16=torch.randn(5).bfloat16(),
    int64=torch.tensor([-1, 2**40]),
    uint8=torch.tensor([0, 255], dtype=torch.uint8),
    bool=torch.tensor([True, False]),
)
both("kinds", kinds)
made["tensors"] = {name: values(t) for name, t in kinds.items()}


class Conv4(nn.Module):
    """The encoder of jakesnell/prototypical-networks, under its names, with fewer filters."""

    def __init__(self, filters):
        super().__init__()

        def block(channels):
            return nn.Sequential(nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2))

        self.encoder = nn.Sequential(block(1), block(filters), block(filters), block(filters))

    def forward(self, x):
        return self.encoder(x).flatten(1)


net = Conv4(8).eval()
for m in net.modules():
    if isinstance(m, nn.BatchNorm2d):
        m.running_mean.normal_(0, 0.3)
        m.running_var.uniform_(0.5, 2)
        m.weight.data.uniform_(0.5, 2)
        m.bias.data.normal_(0, 0.3)
both("protonet", net.state_dict())
images = ((torch.arange(3 * 28 * 28) * 7919) % 1009).float() / 1009
with torch.no_grad():
    made["embeddings"] = net(images.view(3, 1, 28, 28)).double().tolist()

# As training scripts save them.
trained = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
optimizer = torch.optim.Adam(trained.parameters())
trained(torch.randn(4, 3)).square().sum().backward()
optimizer.step()
save("checkpoint.pt", {
    "epoch": 3, "args": argparse.Namespace(way=5), "optimizer": optimizer.state_dict(),
    "state_dict": nn.DataParallel(trained).state_dict(),
})

# What is refused.
small = nn.Sequential(nn.Linear(2, 2))
save("module.pt", small)
save("inside.pt", {"epoch": 3, "model": small})
torch.jit.script(small).save(str(HERE / "script.pt"))
save("list.pt", [torch.ones(2)])
save("expanded.pt", {"w": torch.ones(1).expand(1000)})

(HERE / "values.json").write_text(json.dumps(made) + "\n")
