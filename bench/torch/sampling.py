"""Episodes drawn and put into tensors: sampling in images.go. The plain form has a DataLoader fetch and collate item
by item, as few-shot libraries do; the best one gathers all images of an episode at once. Every image has the same
sum, so that what is drawn shows in no result."""
import random

import common
import numpy
import torch

CLASSES, EACH, SIZE = 1000, 20, 28
WAY, SHOT, QUERY = (int(v) for v in common.ARGS)


def setup():
    first = (256 * common.uniform(1, SIZE * SIZE)).to(torch.uint8).cpu().numpy()
    images = numpy.stack([numpy.roll(first, i) for i in range(CLASSES * EACH)]).reshape(CLASSES, EACH, 1, SIZE, SIZE)
    data, per_class = torch.from_numpy(images).to(common.DEVICE), SHOT + QUERY
    rng = numpy.random.default_rng(1)
    labels = torch.arange(WAY, device=common.DEVICE).repeat_interleave(per_class).view(WAY, per_class)

    def parts(drawn, names):
        return [of.flatten(0, 1) for of in (drawn[:, :SHOT], drawn[:, SHOT:], names[:, :SHOT], names[:, SHOT:])]

    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return CLASSES * EACH

        def __getitem__(self, at):
            return torch.from_numpy(images[at // EACH, at % EACH]).float().div(255), at // EACH

    def episodes():
        while True:
            classes = random.sample(range(CLASSES), WAY)
            yield [c * EACH + i for c in classes for i in random.sample(range(EACH), per_class)]

    def collate(items):
        drawn = torch.stack([image for image, _ in items]).view(WAY, per_class, 1, SIZE, SIZE).to(common.DEVICE)
        classes = [c for _, c in items]
        places = {c: place for place, c in enumerate(dict.fromkeys(classes))}
        names = torch.tensor([places[c] for c in classes], device=common.DEVICE).view(WAY, per_class)
        return parts(drawn, names)

    loader = iter(torch.utils.data.DataLoader(Items(), batch_sampler=episodes(), collate_fn=collate))

    def gather():
        classes = torch.from_numpy(rng.choice(CLASSES, WAY, replace=False))
        order = rng.random((WAY, EACH), dtype=numpy.float32).argpartition(per_class - 1)
        instances = torch.from_numpy(order[:, :per_class])
        drawn = data[classes.unsqueeze(1).to(common.DEVICE), instances.to(common.DEVICE)].float().div_(255)
        return parts(drawn, labels)

    draw = gather if common.BEST else lambda: next(loader)

    def steps(n):
        for _ in range(n):
            support, query, support_labels, query_labels = draw()
        total = support.double().sum() + query.double().sum()
        return [len(support), len(query), total.item(), support_labels.sum().item(), query_labels.sum().item()]

    return steps


common.serve(setup)
