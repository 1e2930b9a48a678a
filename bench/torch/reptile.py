"""A meta-step of Reptile: reptileStep in adapting.go. The grouped form computes all tasks at once, as groups of one
convolution with one set of weights per task; the other forms take one task after another."""
import common
import torch
from torch.nn import functional as F

WAY, SHOT, SIZE, WIDTH, STEPS, RATE, TASKS = 5, 2, 28, 64, 5, 1e-3, int(common.ARGS[0])


def setup():
    params = []
    for i in range(4):
        channels = 1 if i == 0 else WIDTH
        bound = 1 / (9 * channels) ** 0.5
        params += [common.within(bound, 10 * (i + 1), WIDTH, channels, 3, 3), common.within(bound, 10 * (i + 1) + 1, WIDTH)]
        params += [torch.ones(WIDTH), torch.zeros(WIDTH)]
    params += [common.within(1 / 16, 50, WAY, 4 * WIDTH), common.within(1 / 16, 51, WAY)]
    params = [common.laid_out(p) if p.dim() == 4 else p for p in params]
    squares, done = [torch.zeros_like(p) for p in params], 0
    images = common.uniform(5, TASKS, WAY * (SHOT + 1), 1, SIZE, SIZE)
    support = [common.laid_out(x) for x in images[:, :WAY * SHOT]]
    query = [common.laid_out(x) for x in images[:, WAY * SHOT:]]
    labels = torch.arange(WAY).repeat_interleave(SHOT)

    def scores(p, x):
        for i in range(0, 16, 4):
            x = F.conv2d(x, p[i], p[i + 1], stride=2, padding=1)
            x = F.relu(F.batch_norm(x, None, None, p[i + 2], p[i + 3], training=True))
        return F.linear(x.flatten(1), p[16], p[17])

    all_support, all_query = (
        part.squeeze(2).transpose(0, 1).contiguous() for part in (images[:, :WAY * SHOT], images[:, WAY * SHOT:]))
    flat_labels = labels.repeat(TASKS)

    def grouped(p, x):
        """The scores [tasks, images, way]; the first dimension of p is the tasks, x is [images, tasks, size, size]."""
        for i in range(0, 16, 4):
            x = F.conv2d(x, p[i].flatten(0, 1), p[i + 1].flatten(), stride=2, padding=1, groups=TASKS)
            x = F.relu(F.batch_norm(x, None, None, p[i + 2].flatten(), p[i + 3].flatten(), training=True))
        z = x.view(x.shape[0], TASKS, -1).transpose(0, 1)
        return torch.baddbmm(p[17].unsqueeze(1), z, p[16].transpose(1, 2))

    def at_once():
        nonlocal squares, done
        total = 0
        own = [p.expand(TASKS, *p.shape).clone().requires_grad_() for p in params]
        adam = torch.optim.Adam(own, lr=RATE, betas=(0.0, 0.999), foreach=common.FORM != "plain")
        for p, v in zip(own, squares):
            adam.state[p] = {
                "step": torch.tensor(float(done)), "exp_avg": torch.zeros_like(p), "exp_avg_sq": v.expand(p.shape).clone()}
        for _ in range(STEPS):
            loss = F.cross_entropy(grouped(own, all_support).flatten(0, 1), flat_labels) * TASKS
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            total += loss.item() / STEPS / TASKS
        with torch.no_grad():
            torch.log_softmax(grouped(own, all_query), 2)
            for i, p in enumerate(own):
                params[i].copy_(p.mean(0))
            squares, done = [adam.state[p]["exp_avg_sq"].mean(0) for p in own], done + STEPS
        return total

    def by_task():
        nonlocal squares, done
        total, moved, after = 0, [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
        for t in range(TASKS):
            own = [p.clone().requires_grad_() for p in params]
            adam = torch.optim.Adam(own, lr=RATE, betas=(0.0, 0.999), foreach=common.FORM != "plain")
            for p, v in zip(own, squares):
                adam.state[p] = {"step": torch.tensor(float(done)), "exp_avg": torch.zeros_like(p), "exp_avg_sq": v.clone()}
            for _ in range(STEPS):
                loss = F.cross_entropy(scores(own, support[t]), labels)
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()
                total += loss.item() / STEPS / TASKS
            with torch.no_grad():
                torch.log_softmax(scores(own, query[t]), 1)
                for i, p in enumerate(own):
                    moved[i] += (p - params[i]) / TASKS
                    after[i] += adam.state[p]["exp_avg_sq"] / TASKS
        for p, d in zip(params, moved):
            p += d
        squares, done = after, done + STEPS
        return total

    return common.repeated(at_once if common.FORM == "grouped" else by_task)


common.serve(setup)
