"""A training step of a Matching network without full-context embeddings: attending in images.go. It reads by a softmax over cosines
times a scale, or as a modern Hopfield network by one association of keys and queries under a layer norm."""
import common
import torch
from torch import nn
from torch.nn import functional

WAY, SHOT, QUERY = (int(v) for v in common.ARGS[:3])
HOPFIELD = common.ARGS[3] == "hopfield"
WIDTH, SCALE = 64, 60


def setup():
    net = common.laid_out(nn.Sequential(*(common.block(10 * (i + 1), 1 if i == 0 else WIDTH) for i in range(4))))
    x = common.laid_out(common.episode(WAY, SHOT + QUERY).flatten(0, 1))
    labels = torch.arange(WAY).repeat_interleave(QUERY)
    classes = functional.one_hot(torch.arange(WAY).repeat_interleave(SHOT), WAY).float()

    def loss():
        z = net(x).flatten(1).reshape(WAY, SHOT + QUERY, WIDTH)
        support, query = z[:, :SHOT].reshape(-1, WIDTH), z[:, SHOT:].reshape(-1, WIDTH)
        if HOPFIELD:
            support, query = functional.layer_norm(support, (WIDTH,)), functional.layer_norm(query, (WIDTH,))
            scores = query @ support.t() / WIDTH**0.5
        elif common.BEST:
            scores = SCALE * functional.normalize(query, dim=1) @ functional.normalize(support, dim=1).t()
        else:
            scores = SCALE * functional.cosine_similarity(query.unsqueeze(1), support.unsqueeze(0), dim=2)
        probabilities = torch.softmax(scores, 1) @ classes
        return functional.nll_loss(probabilities.clamp(min=1e-30).log(), labels)

    return common.trained(net.parameters(), loss)


common.serve(setup)
