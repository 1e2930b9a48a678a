"""What the workloads share: the same numbers as the Go side, and the talk with it.

A workload is a process that answers every line "N" on its input with the seconds that N steps took and their losses.
"""
import json
import math
import sys
import time

import numpy
import torch


def uniform(salt, *shape):
    """Values in [0, 1) that depend on nothing but the salt and the index; uniform in values.go is the same function."""
    n = math.prod(shape)
    x = (numpy.arange(n, dtype=numpy.uint64) + numpy.uint64(salt * 1000003 + 1)) & numpy.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> numpy.uint64(shift)
        x = (x * numpy.uint64(factor)) & numpy.uint64(0xFFFFFFFF)
    x ^= x >> numpy.uint64(16)
    return torch.from_numpy((x >> numpy.uint64(8)).astype(numpy.float32) / numpy.float32(1 << 24)).reshape(shape)


def serve(threads, setup):
    torch.set_num_threads(threads)
    steps = setup()
    print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        losses = steps(int(line))
        print(json.dumps({"seconds": time.perf_counter() - start, "losses": losses}), flush=True)
