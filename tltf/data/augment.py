"""Random changes of training images and tokens, decided by the seed, the pass and the batch alone.

Keras's preprocessing layers draw from a generator with a state, so parallel or resumed
pipelines would differ. Here each layer gets a generator without a state: its seeds are made
from the seed of the batch.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs.augments import AUGMENTS
from tltf.config.catalogs.row import AugmentRow
from tltf.data.batch_changes import PIXEL_RANGE, Augmentation, Change, ImageChange
from tltf.errors import FlagError, choices_text, nearest

KerasLayer = keras.layers.RandomFlip.__base__
"""The class of Keras's own augmentations, which has no public name."""


def build(text: str | Sequence[Call[AugmentRow]], num_classes: int, seed: int = 0) -> Augmentation:
    """The Augmentation that a text such as `flip|randaugment|mixup(alpha=.2)` names.

    Args:
        text: call strings of AUGMENTS joined with `|`, or their Calls; code from outside returns a
            Keras layer.
        num_classes: length of mixed targets.
        seed: seed of all changes.

    Raises:
        FlagError: a name or an argument is unknown, or a package is missing.
    """
    built = [call.build() for call in call_strings.pick_each(AUGMENTS, text, flag="augment")]
    changes = tuple(
        item if isinstance(item, Change) else Change(_image_change(item)) for item in built
    )
    return Augmentation(changes, num_classes, seed)


def pick_batch_changes(text: str | Sequence[Call[AugmentRow]]) -> tuple[Call[AugmentRow], ...]:
    """The Calls of --augment that change batches; the others make rows before training."""
    calls = call_strings.pick_each(AUGMENTS, text, flag="augment")
    return tuple(call for call in calls if call.row is None or not call.row.makes_rows)


def require_modality(text: str | Sequence[Call[AugmentRow]], modality: str) -> None:
    """Raises FlagError for an augmentation of another modality than the data's."""
    for call in call_strings.pick_each(AUGMENTS, text, flag="augment"):
        if call.row is not None and call.row.modality != modality:
            what = f"{call.name} takes {call.row.modality}s, the data has {modality}s"
            raise FlagError(what, flag="augment", fix="see --list=augments")


def token_dropout(rate: float = 0.1) -> Change:
    """Replaces tokens by the tokenizer's mask, each with the probability `rate`.

    Iyyer et al. 2015, ACL, section 3.2 (word dropout). Departs: the token is masked, not
    removed, so that lengths and positions stay.

    Args:
        rate: above 0, below 1.

    Raises:
        FlagError: the rate is out of its range.
    """
    if not 0 < rate < 1:
        raise FlagError(f"rate must be above 0 and below 1 (received {rate})", flag="augment")

    def change(
        token_ids: tf.Tensor, may_change: tf.Tensor, mask_id: int, seed: tf.Tensor
    ) -> tf.Tensor:
        drawn = tf.random.stateless_uniform(tf.shape(token_ids), seed) < rate
        return tf.where(drawn & may_change, tf.cast(mask_id, token_ids.dtype), token_ids)

    return Change(tokens=change)


def flip(mode: str = "horizontal") -> Change:
    """Mirrors half of the images.

    Args:
        mode: horizontal, vertical or horizontal_and_vertical.
    """
    _require_choice("mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
    return Change(_image_change(keras.layers.RandomFlip(mode, dtype="float32")))


def rotation(degrees: float = 15.0) -> Change:
    """Turns each image by up to `degrees` either way; the edge is reflected."""
    return Change(_image_change(keras.layers.RandomRotation(degrees / 360, dtype="float32")))


def colour(
    brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2, hue: float = 0.0
) -> Change:
    """Changes the colours of each image by up to the given factors, 0 to 1."""
    factors = {"brightness_factor": brightness, "contrast_factor": contrast}
    if saturation:
        factors["saturation_factor"] = saturation
    if hue:
        factors["hue_factor"] = hue
    layer = keras.layers.RandomColorJitter(PIXEL_RANGE, **factors, dtype="float32")
    return Change(images=_accept_grey(_image_change(layer), bool(saturation or hue)))


def crop(scale: float = 0.8) -> Change:
    """Cuts out a random square, of `scale` to 1 times the side of the image, and enlarges it.

    Departs from Szegedy et al. 2015: they cut areas of .08 to 1 with aspects of 3/4 to 4/3.
    """
    if not 0 < scale <= 1:
        raise FlagError(
            f"scale={scale:g} is not between 0 and 1", flag="augment", fix="crop(scale=.8)"
        )

    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count = tf.shape(images)[0]
        draws = tf.random.stateless_uniform([3, count], seed)
        side = scale + (1 - scale) * draws[0]
        top, left = (1 - side) * draws[1], (1 - side) * draws[2]
        boxes = tf.stack([top, left, top + side, left + side], axis=1)
        size = images.shape[1:3]
        cropped = tf.image.crop_and_resize(images, boxes, tf.range(count), size)
        return tf.ensure_shape(cropped, [None, *images.shape[1:]])

    return Change(images=change)


def pad_crop(padding_px: int = 4) -> Change:
    """Cuts a window of the image's own size out of the image with an added black edge.

    He et al. 2016, arXiv:1512.03385, section 4.2.

    Args:
        padding_px: width of the edge, in pixels of the network's input.
    """
    if padding_px < 1:
        raise FlagError(
            f"padding_px={padding_px} is not positive", flag="augment", fix="pad_crop(padding_px=4)"
        )

    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        edge = [padding_px, padding_px]
        padded = tf.pad(images, [[0, 0], edge, edge, [0, 0]])
        shape = [2, tf.shape(images)[0], 1]
        starts = tf.random.stateless_uniform(shape, seed, 0, 2 * padding_px + 1, tf.int32)
        rows = tf.gather(padded, starts[0] + tf.range(images.shape[1]), batch_dims=1, axis=1)
        return tf.gather(rows, starts[1] + tf.range(images.shape[2]), batch_dims=1, axis=2)

    return Change(images=change)


def randaugment(num_ops: int = 2, magnitude: float = 0.5) -> Change:
    """Applies random operations of Keras's RandAugment, which are chosen for each image.

    Cubuk et al. 2020, arXiv:1909.13719. Departs from the paper: the strength is uniform from 0
    to `magnitude` (Keras), and the operations are those of Keras, of which two are strongest at 0:
    sharpness, which only blurs up to .5, and posterization to 1 to 8 * magnitude bits. Keras
    itself chooses once per batch.

    Args:
        num_ops: number of operations per image.
        magnitude: largest strength, 0 to 1.
    """
    layer = keras.layers.RandAugment(PIXEL_RANGE, num_ops, magnitude, dtype="float32")
    names = layer._AUGMENT_LAYERS
    changes = [_image_change(getattr(layer, name)) for name in names]

    def change_one(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        image = image[None]
        for number in range(num_ops):
            own = tf.random.experimental.stateless_fold_in(seed, number)
            choice = tf.random.stateless_uniform([], own, 0, len(changes), tf.int32)
            branches = [
                lambda change=change, image=image, own=own: change(image, own) for change in changes
            ]
            image = tf.ensure_shape(tf.switch_case(choice, branches), image.shape)
        return image[0]

    def change_each(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count = tf.shape(images)[0]
        seeds = tf.random.stateless_uniform(
            [count, 2], seed, minval=None, maxval=None, dtype=tf.int32
        )
        return tf.map_fn(
            lambda pair: change_one(*pair),
            (images, seeds),
            fn_output_signature=images.dtype,
            parallel_iterations=8,
        )

    return Change(images=_accept_grey(change_each, needs_colour=True))


def mixup(alpha: float = 0.2) -> Change:
    """Blends each image and its target with those of another row of the batch.

    Zhang et al. 2018, arXiv:1710.09412. The share is drawn from Beta(alpha, alpha).
    """
    _require_positive("mixup", alpha)
    return _mixing_change(keras.layers.MixUp(alpha, dtype="float32"))


def cutmix(alpha: float = 1.0) -> Change:
    """Puts a rectangle of another image of the batch into each image, and its share into the target.

    Yun et al. 2019, arXiv:1905.04899. The area's share is drawn from Beta(alpha, alpha), alpha
    up to 1; the share in the target is that of the pasted pixels. Keras would draw alpha itself anew
    and take the share of the box before it is cut to whole pixels; here alpha is fixed, as in the
    paper.
    """
    _require_positive("cutmix", alpha)
    if alpha > 1:
        raise FlagError(f"alpha={alpha:g} is above 1", flag="augment", fix="cutmix(alpha=1.0)")
    return _mixing_change(keras.layers.CutMix((alpha, alpha), dtype="float32"))


def keras_cv(layer: str) -> keras.Layer:
    """Makes a layer of KerasCV, such as `keras_cv(layer='RandomShear(x_factor=.2, y_factor=.2)')`.

    The layer draws from its own generator, so the same seed does not give the same changes again.

    Raises:
        FlagError: KerasCV is not installed or has no such layer.
    """
    name, _ = call_strings.parse(layer, "augment")
    call = call_strings.pick(AUGMENTS, f"keras_cv.layers:{layer}", flag="augment")
    try:
        return call.build()
    except FlagError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise call_strings.missing_extra(error.__cause__, "cv") from error
        names = dir(call_strings.load_outside("keras_cv:layers"))
        raise FlagError(
            f"KerasCV has no layer {name!r} (choices: {choices_text(name, names)})",
            flag="augment",
            fix=f"keras_cv(layer={(nearest(name, names, 1) or ['RandomShear'])[0]})",
        ) from error


class _Seeds(keras.random.SeedGenerator):
    """Seeds for a layer, made from one tensor, without a state that outlives a batch."""

    def __init__(self, seed: tf.Tensor) -> None:
        # The initializer of the superclass is not called, because it makes a variable.
        self.seed, self.count = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Another seed int32[2] for each call while a graph is traced."""
        del ordered
        self.count += 1
        return tf.cast(tf.random.experimental.stateless_fold_in(self.seed, self.count), tf.int32)


def _image_change(layer: keras.Layer) -> ImageChange:
    """The change of images by a Keras layer; any other layer is just called and draws in its own way.

    KerasCV's layers have methods of the same names with other arguments.
    """
    if not isinstance(layer, KerasLayer):

        def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            del seed
            return tf.ensure_shape(layer(images, training=True), images.shape)

        return change
    return lambda images, seed: _transform(layer, images, seed)[0]


def _transform(
    layer: keras.Layer, images: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, dict[str, Any]]:
    """`(images, transformation)`; Keras offers no public way to give a layer its seeds."""
    seeds = _Seeds(seed)
    for part in layer._flatten_layers():
        part._get_seed_generator = lambda backend=None: seeds
    transformation = layer.get_random_transformation(images, training=True)
    changed = layer.transform_images(images, transformation, training=True)
    return tf.ensure_shape(changed, images.shape), transformation


def _mixing_change(layer: keras.Layer) -> Change:
    def change(
        images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, transformation = _transform(layer, images, seed)
        if "batch_masks" in transformation:
            pasted = tf.cast(transformation["batch_masks"], tf.float32)
            own = 1.0 - tf.reduce_mean(pasted, axis=[1, 2, 3])
            transformation = transformation | {"mix_weight": own}
        return images, layer.transform_labels(targets, transformation, training=True)

    return Change(mixed=change)


def _accept_grey(change: ImageChange, needs_colour: bool) -> ImageChange:
    """The change for images of any channels: if it needs colour, grey images are made RGB for it."""

    def change_any(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if images.shape[-1] == 3 or not needs_colour:
            return change(images, seed)
        changed = change(tf.repeat(images, 3, axis=-1), seed)
        return tf.reduce_mean(changed, axis=-1, keepdims=True)

    return change_any


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise FlagError(
            f"there is no {name} {value!r} (choices: {choices_text(value, choices)})",
            flag="augment",
            fix=f"{name}={choices[0]}",
        )


def _require_positive(name: str, alpha: float) -> None:
    if alpha <= 0:
        raise FlagError(
            f"{name} needs an alpha above 0 (received {alpha:g})",
            flag="augment",
            fix=f"{name}(alpha=.2)",
        )
