"""Writes parity.json: what the reference implementations compute with weights that follow a formula.

    python3 parity.py > parity.json

Versions: torch 1.13.0, transformers 4.44.2, timm 0.9.16, numpy 1.26.
"""
import json
import zlib

import numpy as np
import timm
import torch
import transformers
from timm.models.vision_transformer import VisionTransformer

torch.set_num_threads(1)
MASK = np.uint64(0xFFFFFFFF)


def formula(name, count):
    """count numbers in [-0.5, 0.5) that depend on the name: a hash of their indices."""
    h = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B1) + np.uint64(zlib.crc32(name.encode())) & MASK
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ h >> np.uint64(shift)) * np.uint64(factor) & MASK
    h ^= h >> np.uint64(16)
    return h.astype(np.float64) / 2**32 - 0.5


def values(name, shape):
    """A parameter: vectors lie around 1 if they multiply, else around 0."""
    v = 0.5 * formula(name, int(np.prod(shape))).reshape(shape)
    if len(shape) == 1 and not name.endswith("bias") and not name.endswith("class_embedding"):
        v = v + 1
    return torch.tensor(v, dtype=torch.float32)


def fill(model):
    """Sets all parameters, and returns their names and shapes."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(values(name, tuple(p.shape)))
    return [[name, list(p.shape)] for name, p in model.named_parameters()]


def number(x):
    return float(f"{float(x):.7g}")


def case(name, model, embed, inputs, gradients=True):
    """Embeddings, and gradients of the sum of the embeddings times the formula, for each input."""
    model.train()  # dropout is 0
    out = {"name": name, "tensors": fill(model), "inputs": []}
    for x in inputs:
        model.zero_grad()
        y = embed(x)
        (y * torch.tensor(formula("loss", y.numel()), dtype=torch.float32).reshape(y.shape)).sum().backward()
        grads = {}
        for p, t in model.named_parameters():
            if gradients and t.grad is not None and t.grad.abs().sum() > 0:
                g = t.grad.double().numpy().ravel()
                grads[p] = [number(np.linalg.norm(g)), number(g @ formula("gradient", g.size))]
        out["inputs"].append({
            "input": x.tolist() if x.dtype == torch.int64 else list(x.shape),
            "embeddings": [[number(v) for v in row] for row in y.detach().tolist()],
            "gradients": grads,
        })
    return out


def images(*shape):
    return torch.tensor(formula("images", int(np.prod(shape))), dtype=torch.float32).reshape(shape)


def mean(hidden, ids):
    mask = (ids != 0).float().unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9))


rows = torch.tensor([[1, 5, 9, 3, 2], [1, 7, 2, 0, 0], [1, 11, 4, 2, 0]])
cases = []

bert = transformers.BertModel(transformers.BertConfig(
    vocab_size=13, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=9,
    hidden_dropout_prob=0, attention_probs_dropout_prob=0))
cases.append(case("bert", bert, lambda x: mean(bert(x, attention_mask=(x != 0).long()).last_hidden_state, x), [rows, rows[:1]]))
cases.append(case("bert-cls", bert, lambda x: bert(x, attention_mask=(x != 0).long()).last_hidden_state[:, 0], [rows]))

distil = transformers.DistilBertModel(transformers.DistilBertConfig(
    vocab_size=13, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=9, dropout=0, attention_dropout=0))
cases.append(case("distilbert", distil, lambda x: mean(distil(x, attention_mask=(x != 0).long()).last_hidden_state, x), [rows]))

sizes = dict(img_size=24, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0, dynamic_img_size=True)
vit = VisionTransformer(**sizes)
cases.append(case("timm", vit, vit, [images(2, 3, 24, 24), images(1, 3, 40, 16)]))
registers = VisionTransformer(**sizes, reg_tokens=4, no_embed_class=True, init_values=1)
cases.append(case("timm-registers", registers, registers, [images(2, 3, 24, 24), images(1, 3, 16, 56)]))

hf = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, patch_size=8, image_size=24, hidden_dropout_prob=0)
vit_hf = transformers.ViTModel(transformers.ViTConfig(**hf, intermediate_size=96, layer_norm_eps=1e-6), add_pooling_layer=False)
cases.append(case("vit-huggingface", vit_hf, lambda x: vit_hf(x, interpolate_pos_encoding=True).last_hidden_state[:, 0],
                  [images(2, 3, 24, 24), images(1, 3, 40, 16)], gradients=False))
dino = transformers.Dinov2Model(transformers.Dinov2Config(**hf, mlp_ratio=4, layer_norm_eps=1e-6))
cases.append(case("dinov2-huggingface", dino, lambda x: dino(x).last_hidden_state[:, 0],
                  [images(2, 3, 24, 24), images(1, 3, 40, 16)], gradients=False))

clip = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
    hidden_size=24, intermediate_size=96, projection_dim=10, num_hidden_layers=2, num_attention_heads=3, image_size=24, patch_size=8))
cases.append(case("clip", clip, lambda x: clip(x).image_embeds, [images(2, 3, 24, 24)], gradients=False))

resized = {}
grid = torch.tensor(formula("grid", 25)).reshape(1, 1, 5, 5)
for to in ((3, 8), (11, 2)):
    resize = lambda **k: [number(v) for v in torch.nn.functional.interpolate(grid, mode="bicubic", **k).flatten()]
    resized[f"{to[0]}x{to[1]}"] = {
        "bicubic": resize(size=to),
        "bicubic-offset": resize(scale_factor=tuple((n + 0.1) / 5 for n in to)),
        "bicubic-smooth": resize(size=to, antialias=True),
    }

print(json.dumps({"cases": cases, "resized": resized}, separators=(",", ":")))
