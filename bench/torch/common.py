"""Shared code of the workloads: the same numbers as the Go side, the protocol between both, and Conv-4.

A workload is a process that is started with the number of threads, the form and the workload's own arguments. It answers
every line "N" on its standard input with the seconds that N steps took, their losses, and its peak memory so far. The
form plain is PyTorch as people write it, best the fastest plain PyTorch that we know; autocast and autocast-best are
these under PyTorch's autocast.
"""
import json
import math
import os
import sys
import time

import numpy
import torch
from torch import nn

FORM, ARGS = sys.argv[2], sys.argv[3:]
DEVICE = torch.device(os.environ.get("ENGRAM_BENCH_DEVICE", "cpu"))
if DEVICE.type != "cpu":
    torch.set_default_device(DEVICE)
BEST = FORM in ("best", "autocast-best")
AUTOCAST = FORM.startswith("autocast")  # to bfloat16


def uniform(salt, *shape):
    """Values in [0, 1) that depend only on the salt and the index; uniform in values.go is the same function."""
    n = math.prod(shape)
    x = (numpy.arange(n, dtype=numpy.uint64) + numpy.uint64(salt * 1000003 + 1)) & numpy.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> numpy.uint64(shift)
        x = (x * numpy.uint64(factor)) & numpy.uint64(0xFFFFFFFF)
    x ^= x >> numpy.uint64(16)
    return torch.from_numpy((x >> numpy.uint64(8)).astype(numpy.float32) / numpy.float32(1 << 24)).reshape(shape).to(DEVICE)


def within(bound, salt, *shape):
    """Values in [-bound, bound)."""
    return (2 * uniform(salt, *shape) - 1) * bound


def words(salt, vocabulary, *shape):
    """Word indices."""
    return (uniform(salt, *shape) * vocabulary).long().clamp(max=vocabulary - 1)


def fill(parameters, bound, first):
    """Sets parameters to the initial values of the Go side."""
    with torch.no_grad():
        for i, p in enumerate(parameters):
            p.copy_(within(bound, first + i, *p.shape))


def block(salt, channels, width=64, padding=1, pool=True, kernel=3):
    conv = nn.Conv2d(channels, width, kernel, padding=padding)
    bound = 1 / math.sqrt(kernel * kernel * channels)
    with torch.no_grad():
        conv.weight.copy_(within(bound, salt, *conv.weight.shape))
        conv.bias.copy_(within(bound, salt + 1, width))
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(), *([nn.MaxPool2d(2)] if pool else []))


def episode(way, per_class, size=28, channels=1):
    """The images of an episode, [way, per_class, channels, size, size]."""
    kind = uniform(1, way, channels, size, size).repeat_interleave(per_class, 0)
    return (0.5 * kind + 0.5 * uniform(2, way * per_class, channels, size, size)).view(way, per_class, channels, size, size)


def laid_out(x):
    """Images or a network, in channels-last layout if the form asks for it."""
    return x.to(memory_format=torch.channels_last) if BEST else x


def repeated(step):
    return lambda n: [step() for _ in range(n)]


def trained(parameters, loss, rate=1e-3, clip=None):
    """Returns a function that takes steps of Adam on a loss."""
    parameters = list(parameters)
    adam = torch.optim.Adam(parameters, lr=rate, foreach=BEST or FORM == "fourier")

    def step():
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=AUTOCAST):
            value = loss()
        adam.zero_grad(set_to_none=True)
        value.backward()
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        adam.step()
        return value.item()

    return repeated(step)


def peak():
    """The peak memory of the process in bytes. The value of getrusage would include the parent's peak."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def serve(setup):
    torch.set_num_threads(int(sys.argv[1]))
    steps = setup()
    print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        losses = steps(int(line))
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "losses": losses, "peak": peak()}), flush=True)
