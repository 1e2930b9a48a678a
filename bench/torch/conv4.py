"""A Prototypical network on Conv-4, a training step or an evaluation: prototypes and evaluation in images.go. Arguments: way,
shot, queries, and perhaps train or evaluate, and the channels and the side of the images."""
import common
import torch
from torch import nn

WAY, SHOT, QUERY = (int(v) for v in common.ARGS[:3])
EVALUATES = common.ARGS[3:4] == ["evaluate"]
CHANNELS, SIZE = (int(v) for v in common.ARGS[4:6] or (1, 28))
RATE = 1e-5 if CHANNELS > 1 else 1e-3  # see images.go


def setup():
    net = common.laid_out(nn.Sequential(*(common.block(10 * (i + 1), CHANNELS if i == 0 else 64) for i in range(4))))
    x = common.laid_out(common.episode(WAY, SHOT + QUERY, SIZE, CHANNELS).flatten(0, 1))
    labels = torch.arange(WAY).repeat_interleave(QUERY)

    def loss():
        z = net(x).float().flatten(1).reshape(WAY, SHOT + QUERY, -1)
        prototypes, queries = z[:, :SHOT].mean(1), z[:, SHOT:].flatten(0, 1)
        if common.BEST:
            distance = queries.square().sum(1, keepdim=True) + prototypes.square().sum(1) - 2 * queries @ prototypes.t()
        else:
            distance = (queries.unsqueeze(1) - prototypes.unsqueeze(0)).square().sum(2)
        logp = torch.log_softmax(-distance, 1)
        if EVALUATES:
            (logp.argmax(1) == labels).float().mean().item()
        return nn.functional.nll_loss(logp, labels)

    if not EVALUATES:
        return common.trained(net.parameters(), loss, RATE)
    net.eval()

    def step():
        with torch.inference_mode() if common.BEST else torch.no_grad():
            return loss().item()

    return common.repeated(step)


common.serve(setup)
