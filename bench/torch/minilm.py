"""MiniLM embeds 64 sentences of 32 tokens: sentenceEmbedding in text.go. The argument train asks for training steps.

The plain form computes as Hugging Face's BertModel does. best has one linear map for queries, keys and values, and no mask; fused
is torch.nn.TransformerEncoder, which computes a layer in one operation where nothing is trained.
"""
import math

import common
import torch
from torch import nn
from torch.nn import functional

TRAIN = common.ARGS == ["train"]
SENTENCES, TOKENS, VOCABULARY = 64, 32, 30522
WIDTH, LAYERS, HEADS, HIDDEN, POSITIONS, EPS = 384, 6, 12, 1536, 512, 1e-12


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH, EPS), nn.LayerNorm(WIDTH, EPS)

    def forward(self, x, mask):
        q, k, v = (self.heads(f(x)) for f in (self.query, self.key, self.value))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(WIDTH // HEADS) + mask
        joined = torch.matmul(scores.softmax(-1), v).permute(0, 2, 1, 3).contiguous().view(x.shape)
        h = self.first(self.out(joined) + x)
        return self.second(self.down(functional.gelu(self.up(h))) + h)

    @staticmethod
    def heads(x):
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)


class Joined(nn.Module):
    """A layer with one linear map for queries, keys and values."""

    def __init__(self, layer):
        super().__init__()
        maps = (layer.query, layer.key, layer.value)
        self.weight = nn.Parameter(torch.cat([m.weight.detach() for m in maps]))
        self.bias = nn.Parameter(torch.cat([m.bias.detach() for m in maps]))
        self.out, self.up, self.down, self.first, self.second = layer.out, layer.up, layer.down, layer.first, layer.second

    def forward(self, x, mask):
        n, time, _ = x.shape
        q, k, v = functional.linear(x, self.weight, self.bias).view(n, time, 3, HEADS, -1).permute(2, 0, 3, 1, 4).reshape(3, n * HEADS, time, -1)
        scores = torch.baddbmm(x.new_zeros(1), q, k.transpose(1, 2), beta=0, alpha=1 / math.sqrt(WIDTH // HEADS))
        joined = torch.bmm(scores.softmax(-1), v).view(n, HEADS, time, -1).transpose(1, 2).reshape(n, time, WIDTH)
        h = self.first(self.out(joined) + x)
        return self.second(self.down(functional.gelu(self.up(h))) + h)


class Fused(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.of = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.0, "gelu", EPS, batch_first=True)
        joined = Joined(layer)
        with torch.no_grad():
            self.of.self_attn.in_proj_weight.copy_(joined.weight)
            self.of.self_attn.in_proj_bias.copy_(joined.bias)
        self.of.self_attn.out_proj.weight, self.of.self_attn.out_proj.bias = layer.out.weight, layer.out.bias
        self.of.linear1, self.of.linear2, self.of.norm1, self.of.norm2 = layer.up, layer.down, layer.first, layer.second

    def forward(self, x, mask):
        return self.of(x)


def setup():
    tables = nn.ModuleList(nn.Embedding(n, WIDTH) for n in (VOCABULARY, POSITIONS, 2))
    layers, norm = nn.ModuleList(Layer() for _ in range(LAYERS)), nn.LayerNorm(WIDTH, EPS)
    matrices = [t.weight for t in tables]
    for layer in layers:
        maps = (layer.query, layer.key, layer.value, layer.out, layer.up, layer.down)
        matrices += [m.weight for m in maps]
        for m in maps:
            nn.init.zeros_(m.bias)
    common.fill(matrices, 0.05, 100)
    if common.FORM != "plain":
        layers = nn.ModuleList((Joined if common.FORM == "best" else Fused)(layer) for layer in layers)
    net = nn.ModuleList([tables, norm, layers]).train(TRAIN)
    rows = common.words(1, VOCABULARY - 1, SENTENCES, TOKENS) + 1
    weights = common.uniform(2, SENTENCES, WIDTH)
    mask = torch.zeros(SENTENCES, 1, 1, TOKENS)

    def loss():
        x = norm(tables[0](rows) + tables[1].weight[:TOKENS] + tables[2].weight[0])
        for layer in layers:
            x = layer(x, mask)
        return (functional.normalize(x.mean(1)) * weights).sum()

    if TRAIN:
        return common.trained(net.parameters(), loss, rate=1e-5)

    def evaluate():
        with torch.inference_mode():
            return loss().item()

    return common.repeated(evaluate)


common.serve(setup)
