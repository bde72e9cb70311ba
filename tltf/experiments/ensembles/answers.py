"""What the candidates of an ensemble say of the rows, and how long each takes by itself."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tltf.console import lines
from tltf.data import pipeline
from tltf.data.source import TEST, VALIDATION, Source, Splits
from tltf.graphs import batch_norm_folding
from tltf.models import ensembles
from tltf.models.ensembles import JoinedMembers, Member
from tltf.models.forward import ForwardPass

TIMED_ROWS, TIMED_PASSES = 256, 3
"""Rows on which times are measured, and passes over them, of which the fastest counts."""


def compute(
    members: Sequence[Member], splits: Splits, batch_size: int
) -> tuple[dict[str, list[np.ndarray]], list[float]]:
    """`(scores, milliseconds)` of some members, whose cores cannot be used afterwards.

    One pass computes all of them, in which what they share is computed once; their times are those of
    each alone.

    Args:
        members: with different names.
        splits: of which the validation and the test rows are computed.
        batch_size: rows per step.

    Returns:
        role -> float32[N, K] of each member, and the milliseconds that an example takes each.
    """
    return of_joined(ensembles.join_members(members), splits, batch_size)


def of_joined(
    joined: JoinedMembers, splits: Splits, batch_size: int
) -> tuple[dict[str, list[np.ndarray]], list[float]]:
    """`(scores, milliseconds)` of members that have joined, see `compute`."""
    names = [member.name for member in joined.members]
    widths = [tensor.shape[-1] for tensor in joined.answers]
    forward = ForwardPass(batch_norm_folding.fold(joined.model), names)
    scores = dict[str, list[np.ndarray]]()
    for role in (VALIDATION, TEST):
        part = splits.get(role)
        if part:
            lines.say("answers", f"{len(names)} candidates, {len(part):,} {role} examples")
            found = forward(dataset(joined, part, batch_size))
            scores[role] = np.split(found, np.cumsum(widths)[:-1], axis=1)
    part = next(part for role in (TEST, VALIDATION) if (part := splits.get(role)))
    times = [milliseconds_of(joined, [at], part, batch_size) for at in range(len(names))]
    return scores, times


def milliseconds_of(
    joined: JoinedMembers, places: Sequence[int], part: Source, batch_size: int
) -> float:
    """The milliseconds that an example takes with some of the members together.

    Args:
        joined: all members.
        places: of those that compute.
        part: the rows, of which the first TIMED_ROWS are computed.
        batch_size: rows per step.
    """
    some = part.take(np.arange(min(len(part), TIMED_ROWS)))
    chosen = {str(at): joined.answers[at] for at in places}
    model, batches = keras.Model(joined.inputs, chosen), dataset(joined, some, batch_size)
    return milliseconds(model, batches, len(some), tuple(chosen))


def milliseconds(
    model: keras.Model, batches: tf.data.Dataset, num_rows: int, names: Sequence[str]
) -> float:
    """The milliseconds that an example takes, as the fastest of some passes.

    Args:
        model: inputs -> dict of tensors.
        batches: of `(inputs, ...)`.
        num_rows: rows in these.
        names: of the outputs that are taken.
    """
    forward, found = ForwardPass(batch_norm_folding.fold(model), names), list[float]()
    forward(batches)  # which builds the graph
    for _ in range(TIMED_PASSES):
        before = forward.seconds
        forward(batches)
        found.append(forward.seconds - before)
    return 1000 * min(found) / num_rows


def dataset(joined: JoinedMembers, part: Source, batch_size: int) -> tf.data.Dataset:
    """Batches of rows, in their order, as joined members take them."""
    return pipeline.build(
        part,
        joined.preprocessing,
        batch_size=batch_size,
        length_buckets=joined.takes_any_length,
        cache_bytes=0,
    )
