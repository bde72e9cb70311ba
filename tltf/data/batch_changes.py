"""Changes of training batches, applied one after the other by seeds of their own."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

PIXEL_RANGE = (0, 255)
ImageChange = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
MixedChange = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
TokenChange = Callable[[tf.Tensor, tf.Tensor, int, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Change:
    """One augmentation.

    Args:
        images: (float32[B, S, S, C], seed int32[2]) -> changed images; or
        mixed: (images, float32[B, num_classes], seed) -> both changed; or
        tokens: (int32[B, L], bool[B, L] what may be changed, id of the mask, seed) -> int32[B, L].
    """

    images: ImageChange | None = None
    mixed: MixedChange | None = None
    tokens: TokenChange | None = None


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Changes that are applied one after the other; `build` makes it.

    Args:
        changes: the changes, in their order.
        num_classes: length of mixed targets.
        seed: seed of all changes.
    """

    changes: tuple[Change, ...]
    num_classes: int
    seed: int

    @property
    def is_mixing(self) -> bool:
        """Whether the targets are probabilities float32[B, num_classes] afterwards."""
        return any(change.mixed for change in self.changes)

    def __call__(
        self, images: tf.Tensor, targets: tf.Tensor, epoch: tf.Tensor, batch: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The changed `(images, targets)`.

        Args:
            images: float32[B, S, S, C], 0 to 255.
            targets: int32[B].
            epoch: int64[], the number of the pass.
            batch: int64[], the number of the batch in the pass.

        Returns:
            float32[B, S, S, C], 0 to 255; and the targets, as float32[B, num_classes] if they are mixed.
        """
        seed = self._seed(epoch, batch)
        if self.is_mixing:
            targets = tf.one_hot(targets, self.num_classes)
        for number, change in enumerate(self.changes):
            own = tf.random.experimental.stateless_fold_in(seed, number)
            if change.mixed:
                images, targets = change.mixed(images, targets, own)
            elif change.images:
                images = change.images(images, own)
            else:
                raise TypeError("a change of tokens does not take images")
        return tf.clip_by_value(images, *map(float, PIXEL_RANGE)), targets

    def change_tokens(
        self,
        token_ids: tf.Tensor,
        may_change: tf.Tensor,
        mask_id: int,
        epoch: tf.Tensor,
        batch: tf.Tensor,
    ) -> tf.Tensor:
        """int32[B, L], the changed token ids, by the same seeds as images."""
        seed = self._seed(epoch, batch)
        for number, change in enumerate(self.changes):
            own = tf.random.experimental.stateless_fold_in(seed, number)
            if not change.tokens:
                raise TypeError("a change of images does not take tokens")
            token_ids = change.tokens(token_ids, may_change, mask_id, own)
        return token_ids

    def _seed(self, epoch: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([tf.cast(self.seed, tf.int64), epoch])
        return tf.random.experimental.stateless_fold_in(seed, batch)
