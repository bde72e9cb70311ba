"""Train, validation and test splits, stratified by class and decided by content hash and seed.

Within a class (see `LabelKind.strata`) the examples are in the order of their seeded content hash.
The test split is the beginning of that order, the training split its end, and the validation split
stands between. So the same content is always in the same split, added rows move only rows at the
borders, and smaller training splits are parts of larger ones.
"""

import dataclasses

import numpy as np

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import SplitRow
from tltf.config.catalogs.splits import SPLITS
from tltf.config.option_groups import ScanOptions
from tltf.data import digests, label_kinds, row_scan
from tltf.data.source import ROLES, TEST, TRAIN, VALIDATION, Source, Splits
from tltf.data.split_checks import (
    check_few_shot,
    check_holdout,
    check_kfold,
    drop_unknown_classes,
    exclude_rows,
    split_warnings,
)
from tltf.errors import DataError, FlagError

ROLE_DTYPE = "<U10"
NO_ROLE = len(ROLES)
"""The code of a row that is in no split, behind the places of the roles in ROLES."""
FOLD_STEP = 0x5851F42D
"""The step of the seed per fold, so that each fold draws its own validation rows."""
REPEAT_STEP = 0x27220A95
"""The step of the seed per repeat, so that each repeat deals the rows anew."""


def split(
    source: Source, text: str | Call[SplitRow], seed: int, scan: ScanOptions | None = None
) -> Splits:
    """The Splits of a source.

    Args:
        source: the rows; the roles that it gives are kept.
        text: a call string of SPLITS, such as `holdout(test=.2, validation=.1)`, or its Call.
        seed: seed of the draw; another seed draws other splits.
        scan: with unknown_classes=skip, rows of classes that are not in the training split are
            skipped. None for the defaults of the flags.

    Raises:
        FlagError: the split is unknown, or its shares leave nothing to train on.
        DataError: a split is empty, or a class is not in the training split.
    """
    with row_scan.attach_scan(source.scan):
        call = call_strings.pick(SPLITS, text, flag="split")
        roles = _roles(source, call, seed)
        if scan and scan.unknown_classes == "skip":
            source, roles = drop_unknown_classes(source, roles, scan.max_bad_fraction)
        warnings = split_warnings(source, roles)
    is_merged = call.kwargs.get("train_on_validation")
    if call.kwargs.get("validation") and not is_merged and not np.any(roles == VALIDATION):
        warnings.append(
            "no row is left to validate on, so the epoch and penalties are not chosen by validation"
        )
    counts = exclude_rows(source, roles != "", "is not in a split that this run uses")
    counts = dataclasses.replace(counts, warnings=[*counts.warnings, *warnings])
    source = dataclasses.replace(source, roles=roles, scan=counts)
    parts = {role: source.take(np.flatnonzero(roles == role)) for role in ROLES}
    return Splits({role: part for role, part in parts.items() if len(part)})


def _roles(source: Source, call: Call[SplitRow], seed: int) -> np.ndarray:
    """The roles str[N] of all rows; each of several data sets is split by itself.

    A row to learn or choose from whose content is among the test rows of another data set has none.
    """
    if source.mixed is None:
        found: np.ndarray = call.build(source, seed)
        return found
    roles = np.full(len(source), "", ROLE_DTYPE)
    for number in range(source.mixed.num_sets):
        rows = np.flatnonzero(source.mixed.sets == number)
        if len(rows):
            roles[rows] = call.build(source.take(rows), seed)
    tested = np.isin(source.split_groups(), source.split_groups()[roles == TEST])
    roles[tested & (roles != TEST)] = ""
    return roles


def holdout(
    source: Source,
    seed: int,
    *,
    test: float = 0.2,
    validation: float = 0.1,
    train_on_validation: bool = False,
) -> np.ndarray:
    """The roles str[N]: those that the data gives, and shares of the training rows for the others.

    Args:
        source: the rows.
        seed: seed of the draw.
        test: share of the training rows that becomes the test split if the data gives none, 0 to 1.
        validation: share that becomes the validation split if the data gives none, 0 to 1.
        train_on_validation: whether the rows of the validation split, drawn or given, are trained on in the end, as
            after a search that has used them; the test split is the same.

    Raises:
        FlagError: a share is outside of 0 to 1, or the shares add up to 1 or more.
        DataError: a share rounds to no row, or no row can be spared because every class needs its
            only content to train on.
    """
    check_holdout(test, validation)
    roles, rows = _training_pool(source)
    shares = {
        TEST: 0 if np.any(roles == TEST) else test,
        VALIDATION: 0 if np.any(roles == VALIDATION) else validation,
    }
    sizes, faults = {}, row_scan.Scan("holdout")
    for role, share in shares.items():
        with faults.collect_errors():
            sizes[role] = _share_size(share, len(rows), role)
    faults.stop_if_failed()
    roles[rows] = draw_stratified(source, rows, seed, sizes)
    _require_test_rows(source, roles, sizes[TEST])
    if train_on_validation:
        roles[roles == VALIDATION] = TRAIN
    return roles


def kfold(
    source: Source,
    seed: int,
    *,
    folds: int = 5,
    fold: int = 0,
    validation: float = 0.1,
    repeats: int = 1,
) -> np.ndarray:
    """The roles str[N] where fold number `fold` is the test split; a given test split is left out.

    Folds from `folds` on are those of the second repeat, whose rows are dealt anew, and so on.

    Args:
        source: the rows.
        seed: seed of the draw.
        folds: number of folds, at least 2.
        fold: number of the fold that is the test split, from 0 to `folds` times `repeats` less one.
        validation: share of the other rows that becomes the validation split, 0 to 1.
        repeats: how often all rows are dealt into folds, at least 1.

    Raises:
        FlagError: there is no such fold.
        DataError: there are more folds than rows, or no row can be spared from training.
    """
    check_kfold(folds, fold, validation, repeats, least=0)
    repeat, place = divmod(fold, folds)
    seed += repeat * REPEAT_STEP
    roles, _ = _training_pool(source)
    roles[roles == TEST] = ""
    roles[roles == VALIDATION] = TRAIN
    rows = np.flatnonzero(roles == TRAIN)
    order = _order(source, rows, seed)
    # A fraction of a place, another for each class, so that not all classes give their odd row to one fold.
    phase = (order.classes * 0.6180339887) % 1
    folds_of = ((order.places + phase) * folds // order.sizes).astype(int) % folds
    roles[rows[_keep_last_content(order, folds_of == place)]] = TEST
    rows = np.flatnonzero(roles == TRAIN)
    size = _share_size(validation, len(rows), VALIDATION)
    # Each fold has a draw of its own: in one order, all folds but the first would share these rows.
    roles[rows] = draw_stratified(source, rows, seed + (place + 1) * FOLD_STEP, {VALIDATION: size})
    _require_test_rows(source, roles, len(rows) // folds)
    return roles


def few_shot(
    source: Source,
    seed: int,
    *,
    labels_a_class: int = 8,
    draws: int = 10,
    draw: int = 0,
    test: float = 0.2,
) -> np.ndarray:
    """The roles str[N] where a few rows of each class are for training and nothing is for validation.

    All draws have the same test split. A content counts once, however many rows repeat it; a class
    with fewer contents gives all that it has.

    Args:
        source: the rows, with one class each.
        seed: seed of the draws.
        labels_a_class: training rows of each class, at least 1.
        draws: number of draws.
        draw: number of the draw, from 0.
        test: share of the rows that becomes the test split if the data gives none, 0 to 1.

    Raises:
        FlagError: a number out of its range, or rows that have several labels or numbers.
        DataError: no row can be spared for the test split.
    """
    check_few_shot(labels_a_class, draws, draw, test, least=0)
    if source.labels is None or label_kinds.kind_of(source.labels).name != label_kinds.CLASS:
        what = "few_shot draws rows of classes, and these rows have several labels or numbers"
        raise FlagError(what, flag="split", fix="--split=holdout")
    roles, rows = _training_pool(source)
    roles[roles == VALIDATION] = ""
    size = 0 if np.any(roles == TEST) else _share_size(test, len(rows), TEST)
    roles[rows] = draw_stratified(source, rows, seed, {TEST: size})
    _require_test_rows(source, roles, size)
    rows = np.flatnonzero(roles == TRAIN)
    order = _order(source, rows, seed + (draw + 1) * FOLD_STEP)
    roles[rows[~_first_contents(order, labels_a_class)]] = ""
    return roles


def keep_given(source: Source, seed: int) -> np.ndarray:
    """The roles str[N] that the data gives, unchanged.

    Args:
        source: the rows.
        seed: not used, because nothing is drawn.

    Raises:
        DataError: a split is missing.
    """
    present = set() if source.roles is None else set(source.roles.tolist())
    missing = [role for role in ROLES if role not in present]
    if missing:
        raise DataError(
            f"{source.name} gives no {' and no '.join(missing)} split",
            flag="split",
            fix="--split=holdout makes those that are missing",
        )
    return np.asarray(source.roles)


def _training_pool(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the roles, in which unknown ones are train, and the training rows."""
    roles = np.full(len(source), "", ROLE_DTYPE) if source.roles is None else source.roles.copy()
    roles = roles.astype(ROLE_DTYPE)
    roles[roles == ""] = TRAIN
    rows = np.flatnonzero(roles == TRAIN)
    if not len(rows):
        raise DataError(f"{source.name} has no rows to train on", flag="data")
    return roles, rows


def _require_test_rows(source: Source, roles: np.ndarray, size: int) -> None:
    """Raises DataError where `size` test rows were asked for and there is none."""
    if size and not np.any(roles == TEST):
        raise DataError(
            f"{size} test rows of {source.name} were asked for and there is none: no class has a "
            "second content, and its only one is for training",
            flag="split",
            fix="see whether label= names the column of classes; --split=holdout(test=0, "
            "validation=0) trains on all rows and tests on none",
        )


def _share_size(share: float, num_rows: int, role: str) -> int:
    size = round(share * num_rows)
    if share and not size:
        raise DataError(
            f"{role}={share:g} of {num_rows} rows is less than one row",
            flag="split",
            fix=f"{role}={min(0.5, 1 / num_rows):.2g} or more",
        )
    return size


@dataclasses.dataclass(frozen=True)
class _Order:
    """The order of M rows in their classes.

    Args:
        classes: int[M], the class of each row.
        places: int[M], its place in the class, equal for equal content.
        sizes: int[M], the number of rows of its class.
    """

    classes: np.ndarray
    places: np.ndarray
    sizes: np.ndarray


def _order(source: Source, rows: np.ndarray, seed: int) -> _Order:
    """The `_Order` of `rows` in their classes."""
    keys = digests.mix_hashes(source.split_groups()[rows], seed)
    labels = source.strata()[rows]
    order = np.lexsort((keys, labels))
    ordered_keys, ordered_labels = keys[order], labels[order]
    numbers = np.arange(len(rows))
    is_new_class = np.append(True, ordered_labels[1:] != ordered_labels[:-1])
    is_new = is_new_class | np.append(True, ordered_keys[1:] != ordered_keys[:-1])
    class_starts = np.maximum.accumulate(np.where(is_new_class, numbers, 0))
    places = np.empty(len(rows), np.int64)
    places[order] = np.maximum.accumulate(np.where(is_new, numbers, 0)) - class_starts
    classes = np.unique(labels, return_inverse=True)[1]
    return _Order(classes, places, np.bincount(classes)[classes])


def _keep_last_content(order: _Order, is_chosen: np.ndarray) -> np.ndarray:
    """`is_chosen` bool[M], without the last content of each class that is chosen as a whole."""
    num_left = np.bincount(order.classes, weights=~is_chosen)
    is_last = order.places == _last_places(order)[order.classes]
    return is_chosen & ~(is_last & (num_left == 0)[order.classes])


def _first_contents(order: _Order, count: int) -> np.ndarray:
    """bool[M]: one row of each of the first contents of each class."""
    pairs = np.stack([order.classes, order.places], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    classes = order.classes[first]
    ranks = np.arange(len(first)) - np.searchsorted(classes, classes)
    is_chosen = np.zeros(len(order.classes), bool)
    is_chosen[first[ranks < count]] = True
    return is_chosen


def _last_places(order: _Order) -> np.ndarray:
    """int[C], the place of the first row with the last content of each class."""
    last = np.zeros(order.classes.max() + 1, np.int64)
    np.maximum.at(last, order.classes, order.places)
    return last


def draw_stratified(
    source: Source, rows: np.ndarray, seed: int, sizes: dict[str, int]
) -> np.ndarray:
    """The roles str[M] of `rows`.

    Args:
        source: Source of the rows.
        rows: int[M], the rows that get a role.
        seed: seed of the draw.
        sizes: role -> number of rows; without TRAIN all other rows are for training.
    """
    order = _order(source, rows, seed)
    class_sizes = np.bincount(order.classes)
    draw = digests.mix_hashes(np.arange(1, len(class_sizes) + 1, dtype=np.uint64), seed)
    quotas = {TRAIN: _quotas(sizes.get(TRAIN, 0), class_sizes, class_sizes, (draw,))}
    # A class keeps at least one content, with all rows that repeat it, to train on.
    spare = _last_places(order)
    if TRAIN in sizes:
        rest = class_sizes - quotas[TRAIN]
        spare = np.where(quotas[TRAIN] > 0, np.minimum(rest, spare), rest)
        quotas[TRAIN] = class_sizes - spare
    quotas[TEST] = _quotas(sizes.get(TEST, 0), class_sizes, spare, (draw,))
    spare = spare - quotas[TEST]
    quotas[VALIDATION] = _quotas(sizes.get(VALIDATION, 0), class_sizes, spare, (draw, quotas[TEST]))
    test_end = quotas[TEST][order.classes]
    if TRAIN in sizes:
        train_start = (class_sizes - quotas[TRAIN])[order.classes]
    else:
        train_start = test_end + quotas[VALIDATION][order.classes]
    validation_start = train_start - quotas[VALIDATION][order.classes]
    codes = np.full(len(rows), NO_ROLE, np.int8)
    codes[order.places >= validation_start] = ROLES.index(VALIDATION)
    codes[order.places < test_end] = ROLES.index(TEST)
    codes[order.places >= train_start] = ROLES.index(TRAIN)
    codes = _one_role_per_group(source.split_groups()[rows], codes)
    return np.array([*ROLES, ""], ROLE_DTYPE)[codes]


def _one_role_per_group(groups: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The codes where each group, which under two labels could be in two splits, has that of its first row."""
    first, group = np.unique(groups, return_index=True, return_inverse=True)[1:]
    return codes[first][group]


def _quotas(
    total: int, class_sizes: np.ndarray, limits: np.ndarray, ties: tuple[np.ndarray, ...]
) -> np.ndarray:
    """int[C], numbers that add up to `total`, in proportion to `class_sizes`, each within its limit.

    Classes of one size are taken in the order of `ties`, numbers per class, of which the last decide
    first: a number drawn by the seed, and for validation the number of test rows of the class, so
    that one class does not give both while another gives none.
    """
    exact = total * class_sizes / class_sizes.sum()
    quotas = np.minimum(np.floor(exact).astype(np.int64), limits)
    for _ in range(2):  # the second round is for what the limits left over
        ranked = np.lexsort((*ties, quotas - exact))
        ranked = ranked[(quotas < limits)[ranked]][: total - quotas.sum()]
        quotas[ranked] += 1
    return quotas
