"""Data, named on the command line, whose numbers break a training."""

import numpy as np

from tltf.data.source import Column, Source, empty_scan


def pictures(settings, broken=(), count=48):
    """Noise of two brightnesses, float32[N, 8, 8, 1], where pictures `broken` have one NaN each."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 2).astype(np.int32)
    images = (
        rng.uniform(0, 99, (count, 8, 8, 1)).astype(np.float32) + 99 * labels[:, None, None, None]
    )
    images[list(broken), 3, 3, 0] = np.nan
    ids = [f"picture {number}" for number in range(count)]
    return Source("pictures", {"image": Column("array", images)}, labels, ("dark", "light"), ids,
                  None, empty_scan(count))  # fmt: skip
