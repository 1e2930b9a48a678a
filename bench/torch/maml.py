"""A training step of MAML: metaStep in adapting.go. The plain and best forms compute one task after another, as
people do, the latter in channels-last layout; the grouped form computes all tasks at once, as groups of one convolution
with one set of weights per task."""
import common
import torch
from torch.nn import functional as F

WAY, SIZE, WIDTH, RATE, TASKS = 5, 28, 64, 0.4, int(common.ARGS[1])
SECOND = common.ARGS[0] == "second"


def setup():
    params = []
    for i in range(4):
        channels = 1 if i == 0 else WIDTH
        bound = 1 / (9 * channels) ** 0.5
        params += [common.within(bound, 10 * (i + 1), WIDTH, channels, 3, 3), common.within(bound, 10 * (i + 1) + 1, WIDTH)]
        params += [torch.ones(WIDTH), torch.zeros(WIDTH)]
    params += [common.within(1 / 8, 50, WAY, WIDTH), common.within(1 / 8, 51, WAY)]
    params = [(common.laid_out(p) if p.dim() == 4 else p).requires_grad_() for p in params]
    adam = torch.optim.Adam(params, lr=1e-3, foreach=common.FORM != "plain")
    images = common.uniform(5, TASKS, 2 * WAY, 1, SIZE, SIZE)
    labels = torch.arange(WAY)
    support, query = ([common.laid_out(x) for x in part] for part in (images[:, :WAY], images[:, WAY:]))
    all_support, all_query = (part.squeeze(2).transpose(0, 1).contiguous() for part in (images[:, :WAY], images[:, WAY:]))

    def loss(p, x):
        for i in range(0, 16, 4):
            x = F.conv2d(x, p[i], p[i + 1], stride=2, padding=1)
            x = F.relu(F.batch_norm(x, None, None, p[i + 2], p[i + 3], training=True))
        return F.cross_entropy(F.linear(x.mean((2, 3)), p[16], p[17]), labels)

    def by_task():
        total = 0
        for t in range(TASKS):
            grads = torch.autograd.grad(loss(params, support[t]), params, create_graph=SECOND)
            of = loss([p - RATE * g for p, g in zip(params, grads)], query[t]) / TASKS
            of.backward()
            total += of.item()
        return total

    def grouped(p, x):
        """The sum of the tasks' losses; the first dimension of p is the tasks, x is [way, tasks, size, size]."""
        for i in range(0, 16, 4):
            x = F.conv2d(x, p[i].flatten(0, 1), p[i + 1].flatten(), stride=2, padding=1, groups=TASKS)
            x = F.relu(F.batch_norm(x, None, None, p[i + 2].flatten(), p[i + 3].flatten(), training=True))
        z = x.mean((2, 3)).view(WAY, TASKS, WIDTH).transpose(0, 1)
        scores = torch.baddbmm(p[17].unsqueeze(1), z, p[16].transpose(1, 2))
        return F.cross_entropy(scores.flatten(0, 1), labels.repeat(TASKS), reduction="sum") / WAY

    def at_once():
        first = [p.unsqueeze(0).expand(TASKS, *p.shape) for p in params]
        if not SECOND:
            first = [p.detach().requires_grad_() for p in first]
        grads = torch.autograd.grad(grouped(first, all_support), first, create_graph=SECOND)
        moved = [p - RATE * g for p, g in zip(first if SECOND else [p.unsqueeze(0) for p in params], grads)]
        of = grouped(moved, all_query) / TASKS
        of.backward()
        return of.item()

    def step():
        adam.zero_grad(set_to_none=True)
        total = at_once() if common.FORM == "grouped" else by_task()
        adam.step()
        return total

    return common.repeated(step)


common.serve(setup)
