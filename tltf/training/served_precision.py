"""The trained model as it is judged, saved and served: in float32, also after training in half precision.

So the numbers of a report are those of the network that `tltf.load` and an export give.
"""

from tltf.graphs import frozen_prefix, precision
from tltf.models import core_builder
from tltf.models.forward import ForwardPass
from tltf.models.transfer_model import TransferModel
from tltf.training.feed import Feed


def to_float32(trained: TransferModel, feed: Feed) -> None:
    """Replaces the core of a model that computes in half precision by its copy in float32.

    The copy's frozen layers are cached where those of the training were; the cache keeps what they
    give in each precision apart.

    Args:
        trained: the trained model; one in float32 stays as it is.
        feed: the Feed of the fit that trained it.
    """
    if not precision.is_half(trained.core.model):
        return
    was_cached, trained.above = trained.above is not None, None
    trained.core = core = core_builder.float32_copy(trained.core)
    parts = frozen_prefix.cut(core.model, core.groups)
    prefix = parts.prefix
    if was_cached and prefix and feed.dataset_above:
        above = feed.dataset_above
        forward = ForwardPass(parts.suffix, core.outputs)
        trained.above = forward, lambda part, size: above(prefix, part, size)
