"""Greedy selection against a plain re-implementation, and against what can be computed by hand."""

import itertools

import numpy as np
import pytest

from tltf.evaluation import ensemble_selection


def log_loss(labels):
    def loss(mean):
        return (float(-np.log(np.maximum(mean[np.arange(len(labels)), labels], 1e-12)).mean()),)

    return loss


def accuracy(labels):
    return lambda mean: (-float((mean.argmax(axis=1) == labels).mean()), log_loss(labels)(mean)[0])


def draw(num_candidates, num_rows, num_classes, seed):
    random = np.random.default_rng(seed)
    scores = random.dirichlet(np.ones(num_classes), (num_candidates, num_rows))
    labels = random.integers(0, num_classes, num_rows)
    for place in range(num_candidates):  # better than chance, each on other rows
        is_known = random.random(num_rows) < 0.3 + 0.1 * place
        scores[place][is_known] = 0.3 * scores[place][is_known]
        scores[place][is_known, labels[is_known]] += 0.7
    return scores, labels


def plain_greedy(scores, loss, rounds, most_first):
    """The paper's procedure with lists of members, whose mean is computed anew each time."""

    def of(members):
        return loss(np.mean([scores[member] for member in members], axis=0))

    order = sorted(range(len(scores)), key=lambda member: of([member]))
    starts = [order[:count] for count in range(1, min(most_first, rounds) + 1)]
    members = min(starts, key=of)
    path = [list(members)]
    while len(members) < rounds:
        members = min(([*members, new] for new in range(len(scores))), key=of)
        path.append(members)
    best = min(path, key=of)
    return np.bincount(best, minlength=len(scores)) / len(best)


@pytest.mark.parametrize(("seed", "most_first"), itertools.product(range(6), (1, 3)))
@pytest.mark.parametrize("kind", [log_loss, accuracy])
def test_greedy_selection_is_that_of_a_plain_implementation(seed, most_first, kind):
    scores, labels = draw(5, 40, 3, seed)
    loss = kind(labels)
    found = ensemble_selection.select(scores, loss, rounds=9, most_first=most_first)
    wanted = plain_greedy(scores, loss, 9, most_first)
    np.testing.assert_allclose(found.weights, wanted, atol=1e-12)
    assert min(found.losses) <= min(loss(candidate) for candidate in scores)
    np.testing.assert_allclose(
        loss(np.tensordot(found.weights, scores, 1)), min(found.losses), atol=1e-9
    )


def test_a_member_may_be_taken_more_than_once():
    """By hand: with p = 2/3 of the first and 1/3 of the second both rows have .8 and .7 of the truth."""
    first, second = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.6, 0.4], [0.9, 0.1]])
    labels = np.array([0, 0])

    def loss(mean):  # smallest where the first row has 0.8 and the second 0.7
        return (float(np.abs(mean[:, 0] - [0.8, 0.7]).sum()),)

    found = ensemble_selection.select([first, second], loss, rounds=3)
    np.testing.assert_allclose(found.weights, [2 / 3, 1 / 3])
    np.testing.assert_allclose(found.losses[-1], 0.0, atol=1e-12)
    assert len(labels) == 2


def test_one_that_is_best_alone_stays_alone():
    scores, labels = draw(3, 50, 2, 1)
    scores[1] = np.eye(2)[labels]
    found = ensemble_selection.select(scores, log_loss(labels), rounds=10, most_first=3)
    np.testing.assert_array_equal(found.weights, [0, 1, 0])


def test_no_single_choice_of_so_many_members_is_much_better():
    """All multisets of four members of four: greedy need not be the best, and is near it here."""
    scores, labels = draw(4, 60, 3, 3)
    loss = log_loss(labels)
    every = itertools.chain.from_iterable(
        itertools.combinations_with_replacement(range(4), size) for size in range(1, 5)
    )
    best = min(loss(np.mean([scores[m] for m in members], axis=0)) for members in every)
    found = ensemble_selection.select(scores, loss, rounds=4)
    assert best <= min(found.losses) and min(found.losses)[0] <= 1.02 * best[0]


def test_bags_take_random_halves_and_average_their_weights():
    scores, labels = draw(6, 60, 3, 4)
    loss = log_loss(labels)
    found = ensemble_selection.select(scores, loss, rounds=5, bags=8, seed=3)
    random, wanted = np.random.default_rng(3), np.zeros(6)
    for _ in range(8):
        places = np.sort(random.permutation(6)[:3])
        wanted[places] += plain_greedy(scores[places], loss, 5, 1) / 8
    np.testing.assert_allclose(found.weights, wanted, atol=1e-12)
    assert found.weights.sum() == pytest.approx(1)
