"""AUGMENTS: random changes of training inputs, joined with `|`."""

from tltf.config.catalogs.row import AugmentRow

AUGMENTS = {
    "flip": AugmentRow(
        "tltf.data.augment:flip",
        {"mode": "horizontal"},
        "mirrors half of the images; mode=horizontal|vertical|horizontal_and_vertical",
    ),
    "crop": AugmentRow(
        "tltf.data.augment:crop",
        {"scale": 0.8},
        "takes a random square, with a side of `scale` to 1 times the image's, and enlarges it",
        paper="Szegedy et al. 2015, arXiv:1409.4842",
    ),
    "pad_crop": AugmentRow(
        "tltf.data.augment:pad_crop",
        {"padding_px": 4},
        "adds a black edge to the image and takes a random window of the image's size",
        paper="He et al. 2016, arXiv:1512.03385",
    ),
    "colour": AugmentRow(
        "tltf.data.augment:colour",
        {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.0},
        "changes brightness, contrast, saturation and hue by up to these factors",
    ),
    "rotation": AugmentRow(
        "tltf.data.augment:rotation",
        {"degrees": 15.0},
        "turns the image by up to `degrees` either way and reflects it at its edges",
    ),
    "randaugment": AugmentRow(
        "tltf.data.augment:randaugment",
        {"num_ops": 2, "magnitude": 0.5},
        "applies `num_ops` random operations of Keras's RandAugment to each image",
        paper="Cubuk et al. 2020, arXiv:1909.13719",
    ),
    "mixup": AugmentRow(
        "tltf.data.augment:mixup",
        {"alpha": 0.2},
        "blends images and targets with others of the batch",
        paper="Zhang et al. 2018, arXiv:1710.09412",
    ),
    "cutmix": AugmentRow(
        "tltf.data.augment:cutmix",
        {"alpha": 1.0},
        "pastes a rectangle of another image of the batch, with its share of the target",
        paper="Yun et al. 2019, arXiv:1905.04899",
    ),
    "keras_cv": AugmentRow(
        "tltf.data.augment:keras_cv",
        {"layer": str},
        "applies a layer of KerasCV, such as keras_cv(layer='RandomShear(x_factor=.2, y_factor=.2)')",
        licence="Apache-2.0",
        extra="cv",
    ),
    "eda": AugmentRow(
        "tltf.data.texts.copies:eda",
        {"alpha": 0.1, "copies": 4, "operations": ("synonym", "insert", "swap", "delete")},
        "adds changed copies of each text: words replaced by WordNet's synonyms, inserted, swapped, deleted",
        paper="Wei & Zou 2019, arXiv:1901.11196",
        modality="text",
        makes_rows=True,
    ),
    "back_translation": AugmentRow(
        "tltf.data.texts.copies:back_translation",
        {"function": str, "copies": 1},
        "adds copies of each text by your own function=package.module:name, (texts, seed) -> texts",
        paper="Sennrich et al. 2016, arXiv:1511.06709",
        modality="text",
        makes_rows=True,
    ),
    "token_dropout": AugmentRow(
        "tltf.data.augment:token_dropout",
        {"rate": 0.1},
        "replaces tokens by the tokenizer's mask, each with the probability `rate`",
        paper="Iyyer et al. 2015, ACL",
        modality="text",
    ),
}
