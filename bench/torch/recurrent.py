"""Shared code of the recurrent workloads: the copy task, a cosine, and an LSTM cell."""
import common
import torch
from torch import nn

BITS, LENGTH = 8, 20


def cell(x, state, weights):
    """One LSTM step; the weights are in the order of the Go side."""
    return torch._VF.lstm_cell(x, state, *weights)


def cosine(keys, memory):
    """The cosines [batch, heads, slots] of keys [batch, heads, width] and slots."""

    def unit(x):
        return x / (x.square().sum(-1, keepdim=True) + 1e-12).sqrt()

    return unit(keys) @ unit(memory).transpose(1, 2)


def copy_task(batch):
    """Inputs [2·length+1, batch, bits+1] and targets."""
    bits = (common.uniform(1, LENGTH, batch, BITS) > 0.5).float()
    x = torch.zeros(2 * LENGTH + 1, batch, BITS + 1)
    x[:LENGTH, :, :BITS] = bits
    x[LENGTH, :, BITS] = 1
    return x, bits


def parameters(*shapes):
    """In the order of the Go side's."""
    return [nn.Parameter(common.within(0.1, 10 + i, *s)) for i, s in enumerate(shapes)]
