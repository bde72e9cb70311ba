"""Each strategy against its equation in numpy, and against scikit-activeml where that is installed."""

import numpy as np
import pytest

from tltf.active_learning import query, scikit_activeml
from tltf.active_learning.pool_view import PoolView
from tltf.config.catalogs import QUERIES
from tltf.errors import FlagError

NUM_CLASSES = 3
KERNEL = np.random.default_rng(7).normal(size=(5, NUM_CLASSES))


def probabilities_of(features):
    """A softmax of a fixed linear map."""
    logits = np.asarray(features, np.float64) @ KERNEL
    parts = np.exp(logits - logits.max(axis=1, keepdims=True))
    return parts / parts.sum(axis=1, keepdims=True)


def view(num_rows=60, num_known=6, seed=0):
    random = np.random.default_rng(seed)
    centers = random.normal(size=(8, 5)) * 4
    rows = centers[random.integers(8, size=num_rows + num_known)]
    rows = (rows + random.normal(size=rows.shape)).astype(np.float32)
    labels = random.integers(NUM_CLASSES, size=num_known)
    return PoolView(
        rows[num_known:], rows[:num_known], labels, probabilities_of, np.random.default_rng(seed)
    )


def ask(text, count=7, **also):
    return query.pick(text)(view(**also), count)


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("num_known", [0, 6])
def test_every_strategy_gives_different_rows_and_the_same_ones_again(name, num_known):
    found = ask(name, num_known=num_known)
    assert found.dtype == np.int64 and len(set(found.tolist())) == 7
    assert found.min() >= 0 and found.max() < 60
    np.testing.assert_array_equal(found, ask(name, num_known=num_known))


@pytest.mark.parametrize("name", QUERIES)
def test_the_last_rows_of_a_pool_are_given_though_fewer_than_asked_for(name):
    found = ask(name, count=9, num_rows=4)
    assert sorted(found) == [0, 1, 2, 3]
    assert len(ask(name, num_rows=0)) == 0


def test_random_draws_anew_from_the_generator():
    pool = view()
    strategy = query.pick("random")
    assert set(strategy(pool, 7)) != set(strategy(pool, 7))


def test_margin_takes_the_smallest_differences():
    stated = view().probabilities
    margins = [row[-1] - row[-2] for row in np.sort(stated, axis=1)]
    assert ask("margin").tolist() == np.argsort(margins)[:7].tolist()


def test_entropy_takes_the_largest_sums():
    stated = view().probabilities
    entropies = [-sum(p * np.log(p) for p in row) for row in stated]
    assert ask("entropy").tolist() == np.argsort(entropies)[::-1][:7].tolist()


def test_entropy_of_a_sure_head_is_zero_and_not_nan():
    pool = view(num_rows=3)
    sure = PoolView(pool.features, pool.known, pool.known_labels, lambda _: np.eye(3), pool.random)
    assert query.pick("entropy")(sure, 2).tolist() == [0, 1]


def test_badge_is_k_means_plus_plus_on_the_outer_products():
    """The gradients of the last layer made in full, and drawn from with the same generator."""
    pool, random = view(), np.random.default_rng(0)
    factors = pool.probabilities - np.eye(NUM_CLASSES)[pool.probabilities.argmax(axis=1)]
    gradients = np.stack(
        [np.outer(a, x).ravel() for a, x in zip(factors, pool.features, strict=False)]
    )
    chosen = [int(np.linalg.norm(gradients, axis=1).argmax())]
    while len(chosen) < 7:
        nearest = np.min(
            [((gradients - gradients[place]) ** 2).sum(axis=1) for place in chosen], axis=0
        )
        chosen.append(int(random.choice(60, p=nearest / nearest.sum())))
    assert ask("badge").tolist() == chosen


def test_badge_goes_on_where_all_that_is_left_is_the_same():
    rows = np.ones((5, 5), np.float32)
    pool = PoolView(rows, rows[:0], np.empty(0, int), probabilities_of, np.random.default_rng(0))
    assert len(set(query.pick("badge")(pool, 4).tolist())) == 4


def test_coreset_takes_the_row_that_is_farthest_from_its_nearest_centre():
    pool, chosen = view(), []
    for _ in range(7):
        centers = np.concatenate([pool.known, pool.features[chosen]])
        distances = np.linalg.norm(pool.features[:, None] - centers[None], axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    assert ask("coreset").tolist() == chosen


def test_coreset_leaves_a_smaller_radius_than_chance():
    """What it is for: no row is far from a labelled one."""

    def radius(places):
        pool = view(300)
        centers = np.concatenate([pool.known, pool.features[places]])
        return np.linalg.norm(pool.features[:, None] - centers[None], axis=2).min(axis=1).max()

    assert radius(ask("coreset", 30, num_rows=300)) < 0.9 * radius(ask("random", 30, num_rows=300))


def test_typiclust_takes_the_densest_row_of_each_cluster_without_a_label():
    random = np.random.default_rng(3)
    angles = np.repeat([0.0, 2.0, 4.0], [30, 20, 10])
    spread = np.tile(np.linspace(-0.3, 0.3, 10), 6) + random.normal(size=60) * 0.01
    turned = angles + spread
    rows = np.stack([np.cos(turned), np.sin(turned)], axis=1) * random.uniform(1, 3, (60, 1))
    pool = PoolView(
        rows[1:].astype(np.float32),
        rows[:1].astype(np.float32),
        np.zeros(1, int),
        probabilities_of,
        np.random.default_rng(0),
    )
    found = query.pick("typiclust(neighbors=5)")(pool, 2)
    assert [int(place + 1 >= 30) + int(place + 1 >= 50) for place in found] == [1, 2]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for place, (low, high) in zip(found, [(30, 50), (50, 60)], strict=False):
        inside = unit[low:high]
        distances = np.sort(np.linalg.norm(inside[:, None] - inside[None], axis=2), axis=1)
        assert place + 1 == low + distances[:, 1:6].mean(axis=1).argmin()


def broken(pool, count):
    """A strategy of a user that gives a row twice."""
    return np.zeros(count, int)


def last(pool, count, step=1):
    """A strategy of a user."""
    return np.arange(len(pool.features))[::-step][:count]


def test_a_function_from_outside_is_a_strategy():
    assert ask(f"{__name__}:last(step=2)").tolist() == [59, 57, 55, 53, 51, 49, 47]
    with pytest.raises(FlagError, match="must give 7 different places from 0 to 59"):
        ask(f"{__name__}:broken")


def test_an_unknown_strategy():
    with pytest.raises(FlagError, match="there is no query 'margn'"):
        query.pick("margn")


def labels_of(pool):
    unlabelled = np.full(len(pool.features), -1)
    return np.concatenate([pool.known_labels, unlabelled])


def rows_of(pool):
    return np.concatenate([pool.known, pool.features]).astype(np.float64)


@pytest.fixture
def oracle():
    return pytest.importorskip("skactiveml.pool", reason="the extra active is not installed")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("margin", "UncertaintySampling(method=margin_sampling)"),
        ("entropy", "UncertaintySampling(method=entropy)"),
        ("coreset", "CoreSet"),
    ],
)
def test_scikit_activeml_takes_the_same_rows(oracle, ours, theirs):
    assert ask(f"skactiveml:{theirs}").tolist() == ask(ours).tolist()


def test_scikit_activeml_begins_badge_with_the_same_row(oracle):
    """Its later draws differ: it counts the distance from 0 too, which neither the paper nor its code does."""
    pool = view()
    strategy = oracle.Badge(missing_label=-1, random_state=0)
    head = scikit_activeml.head_of(pool)
    found, chances = strategy.query(
        rows_of(pool), labels_of(pool), head, fit_clf=False, batch_size=2, return_utilities=True
    )
    assert found[0] - len(pool.known) == ask("badge")[0]
    factors = pool.probabilities - np.eye(NUM_CLASSES)[pool.probabilities.argmax(axis=1)]
    lengths = (factors**2).sum(axis=1) * (pool.features**2).sum(axis=1)
    theirs = chances[0][len(pool.known) :]
    np.testing.assert_allclose(theirs, lengths / lengths.sum(), rtol=1e-6)


def test_scikit_activeml_finds_the_same_typical_rows(oracle):
    pool = view()
    seed = int(np.random.default_rng(0).integers(2**31))
    rows = rows_of(pool)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    strategy = oracle.TypiClust(missing_label=-1, random_state=seed, k=5)
    found = strategy.query(rows, labels_of(pool), batch_size=4) - len(pool.known)
    ours = query.pick("typiclust(neighbors=5, least_size=1)")(pool, 4)
    assert set(ours.tolist()) == set(found.tolist())


def test_strategies_of_scikit_activeml_that_need_more_are_refused(oracle):
    with pytest.raises(FlagError, match="QueryByCommittee needs ensemble"):
        ask("skactiveml:QueryByCommittee")
    with pytest.raises(FlagError, match="has no strategy 'Nothing'"):
        ask("skactiveml:Nothing")
    with pytest.raises(FlagError, match="has no argument 'methd'"):
        ask("skactiveml:UncertaintySampling(methd=entropy)")
    assert len(set(ask("skactiveml:ProbCover").tolist())) == 7
