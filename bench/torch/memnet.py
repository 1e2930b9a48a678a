"""A training step of a Memory Network: answering in sequences.go. The plain form looks up each table's words separately;
the best form sums the words of all tables at once, with weights for the two parts of the position encoding."""
import common
import torch
from torch import nn
from torch.nn import functional

STORIES, SLOTS, LENGTH, ASKED, WORDS, WIDTH, HOPS = 32, 50, 6, 3, 160, 20, 3
RATE, CLIP = 0.02, 40


def encoding(length):
    j, k = torch.arange(1, length + 1).view(-1, 1) / length, torch.arange(1, WIDTH + 1).view(1, -1) / WIDTH
    return (1 - j) - k * (1 - 2 * j)


def weights(count, length):
    """The weights of the words of count sentences in both parts of the encoding."""
    j = torch.arange(1, length + 1) / length
    return torch.cat([1 - j, 2 * j - 1]).repeat(count)


def bags(sentences):
    """The words of [n, length] as indices into the first and into the second half of the table."""
    return torch.cat([sentences, sentences + WORDS], 1).flatten()


def setup():
    params = [nn.Parameter(common.within(0.17, 10 + i, WORDS if i % 2 == 0 else SLOTS, WIDTH)) for i in range(2 * (HOPS + 1))]
    tables, times = params[::2], params[1::2]
    facts, questions = common.words(1, WORDS, STORIES, SLOTS, LENGTH), common.words(2, WORDS, STORIES, ASKED)
    answers = common.words(3, WORDS, STORIES)
    ages = torch.arange(SLOTS - 1, -1, -1)
    of_fact, of_question = encoding(LENGTH), encoding(ASKED)
    elements = (torch.arange(1, WIDTH + 1) / WIDTH).repeat(HOPS + 1)
    flat, asked = bags(facts.flatten(0, 1)), bags(questions)
    starts, asked_starts = torch.arange(0, len(flat), 2 * LENGTH), torch.arange(0, len(asked), 2 * ASKED)
    fact_weights, asked_weights = weights(STORIES * SLOTS, LENGTH), weights(STORIES, ASKED)
    sgd = torch.optim.SGD(params, lr=RATE, foreach=common.BEST)

    def sum_words(table, words, offsets, each):
        table = torch.cat([table, table * elements[:table.shape[1]]])
        return functional.embedding_bag(words, table, offsets, mode="sum", per_sample_weights=each)

    def scores():
        if common.BEST:
            all_facts = sum_words(torch.cat(tables, 1), flat, starts, fact_weights).view(STORIES, SLOTS, -1)
            sentences = (all_facts + torch.cat(times, 1)[ages]).split(WIDTH, 2)
            u = sum_words(tables[0], asked, asked_starts, asked_weights)
        else:
            sentences = [
                (functional.embedding(facts, table) * of_fact).sum(2) + when[ages] for table, when in zip(tables, times)]
            u = (functional.embedding(questions, tables[0]) * of_question).sum(1)
        for keys, values in zip(sentences, sentences[1:]):
            attention = torch.softmax((keys @ u.unsqueeze(2)).squeeze(2), 1)
            u = u + (attention.unsqueeze(1) @ values).squeeze(1)
        return u @ tables[-1].t()

    def step():
        loss = functional.cross_entropy(scores(), answers, reduction="sum")
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        for p in params:
            nn.utils.clip_grad_norm_([p], CLIP)
        sgd.step()
        return loss.item()

    return common.repeated(step)


common.serve(setup)
