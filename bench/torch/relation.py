"""A training step of a Relation network: relation in images.go. The plain form concatenates every pair of maps, as
the authors' code does; the best one convolves either side of the first convolution's weights once and adds the
results."""
import common
import torch
from torch import nn
from torch.nn import functional

WAY, SHOT, QUERY = (int(v) for v in common.ARGS)


def setup():
    encoder = nn.Sequential(*(common.block(10 * (i + 1), 1 if i == 0 else 64, padding=i // 2, pool=i < 2) for i in range(4)))
    relation = nn.Sequential(common.block(110, 128), common.block(120, 64))
    hidden, out = nn.Linear(64, 8), nn.Linear(8, 1)
    linear = [*hidden.parameters(), *out.parameters()]
    common.fill(linear, 1 / 8, 50)
    encoder, relation = common.laid_out(encoder), common.laid_out(relation)
    x = common.laid_out(common.episode(WAY, SHOT + QUERY).flatten(0, 1))
    truth = functional.one_hot(torch.arange(WAY).repeat_interleave(QUERY), WAY).float()
    first, n = relation[0][0], WAY * QUERY

    def pairs(prototypes, queries):
        if common.BEST:
            of_keys = functional.conv2d(prototypes, first.weight[:, :64], first.bias, padding=1)
            of_queries = functional.conv2d(queries, first.weight[:, 64:], None, padding=1)
            both = of_queries.permute(0, 2, 3, 1).unsqueeze(1) + of_keys.permute(0, 2, 3, 1).unsqueeze(0)
            return relation[1](relation[0][1:](both.flatten(0, 1).permute(0, 3, 1, 2)))
        keys = prototypes.unsqueeze(0).expand(n, WAY, 64, 5, 5)
        asked = queries.unsqueeze(1).expand(n, WAY, 64, 5, 5)
        return relation(torch.cat([keys, asked], 2).reshape(n * WAY, 128, 5, 5))

    def loss():
        z = encoder(x)
        z = z.view(WAY, SHOT + QUERY, 64, 5, 5) if not common.BEST else z.unflatten(0, (WAY, SHOT + QUERY))
        prototypes, queries = z[:, :SHOT].sum(1), z[:, SHOT:].reshape(n, 64, 5, 5)
        if common.BEST:
            prototypes, queries = common.laid_out(prototypes), common.laid_out(queries)
        scores = torch.sigmoid(out(torch.relu(hidden(pairs(prototypes, queries).flatten(1))))).view(n, WAY)
        return functional.mse_loss(scores, truth)

    return common.trained([*encoder.parameters(), *relation.parameters(), *linear], loss, clip=0.5)


common.serve(setup)
