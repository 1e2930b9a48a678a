"""A training step of a Matching network with full-context embeddings: matching in images.go."""
import common
import torch
from torch import nn
from torch.nn import functional

WAY, SHOT, QUERY = (int(v) for v in common.ARGS)
WIDTH, READS, SCALE = 64, 5, 60


def setup():
    net = common.laid_out(nn.Sequential(*(common.block(10 * (i + 1), 1 if i == 0 else WIDTH) for i in range(4))))
    of_support, of_query = nn.LSTM(WIDTH, WIDTH, bidirectional=True), nn.LSTMCell(2 * WIDTH, WIDTH)
    context = [*of_support.parameters(), *of_query.parameters()]
    common.fill(context, 1 / 8, 50)
    x = common.laid_out(common.episode(WAY, SHOT + QUERY).flatten(0, 1))
    labels = torch.arange(WAY).repeat_interleave(QUERY)
    classes = functional.one_hot(torch.arange(WAY).repeat_interleave(SHOT), WAY).float()

    def loss():
        z = net(x).flatten(1).reshape(WAY, SHOT + QUERY, WIDTH)
        support, query = z[:, :SHOT].reshape(-1, WIDTH), z[:, SHOT:].reshape(-1, WIDTH)
        both = of_support(support.unsqueeze(1))[0].squeeze(1)
        g = both[:, :WIDTH] + both[:, WIDTH:] + support
        h = c = torch.zeros_like(query)
        for _ in range(READS):
            read = torch.softmax(h @ g.t(), 1) @ g
            h, c = of_query(torch.cat([query, read], 1), (h, c))
            h = h + query
        if common.BEST:
            cosine = functional.normalize(h, dim=1) @ functional.normalize(g, dim=1).t()
        else:
            cosine = functional.cosine_similarity(h.unsqueeze(1), g.unsqueeze(0), dim=2)
        probabilities = torch.softmax(SCALE * cosine, 1) @ classes
        return functional.nll_loss(probabilities.clamp(min=1e-30).log(), labels)

    return common.trained([*net.parameters(), *context], loss)


common.serve(setup)
