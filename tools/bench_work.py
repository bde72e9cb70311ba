"""The work that all sides of bench_transfer.py do; each script takes it as one argument of JSON.

This module imports the standard library only, since the Hugging Face side runs under another
interpreter.
"""

import csv
import dataclasses
import json
import pathlib
import sys


@dataclasses.dataclass(frozen=True)
class Work:
    """What is trained, on which data, and for how long.

    Args:
        data: for images a folder of {train,test}/<class>/*.png, or an .npz file of the arrays
            {x,y}_{train,test}; for texts a folder of {train,test}.csv.
        modality: `image` or `text`.
        method: --method of tltf.
        epochs: number of passes over the training rows.
        learning_rate: constant learning rate of Adam.
        batch_size: number of rows per step.
        hidden: number of units of a hidden layer in the head; 0 for no hidden layer.
        text_length: number of tokens that a text is cut to.
        image_size_px: side of the image.
        seed: seed of the order of rows and of the head's weights.
        is_cached: whether plain Keras calls `Dataset.cache()` after decoding and resizing, or
            tokenizes texts once and not in every epoch.
        precision: dtype policy of the network: `float32`, `mixed_bfloat16`, or `auto` (tltf only).
    """

    data: str
    modality: str
    method: str
    epochs: int
    learning_rate: float
    batch_size: int = 32
    hidden: int = 0
    text_length: int = 48
    image_size_px: int = 96
    seed: int = 0
    is_cached: bool = True
    precision: str = "float32"

    def text(self):
        """The JSON that `read_work` reads."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def num_trained_groups(self):
        """The number of the backbone's last layers that are trained; -1 for all of them."""
        return {"linear_probe": 0, "partial(last_groups=2)": 2, "full": -1}[self.method]

    @property
    def backbone(self):
        """The name of the backbone in tltf."""
        return "minilm_l6" if self.modality == "text" else "efficientnet_lite0"

    def source(self):
        """The call string of the data in tltf."""
        if self.modality == "text":
            return f"csv(train='{self.data}/train.csv', test='{self.data}/test.csv', text=text)"
        name = "numpy" if self.has_arrays else "image_folder"
        return f"{name}(path='{self.data}')"

    @property
    def has_arrays(self):
        """Whether the images are already decoded."""
        return self.data.endswith(".npz")

    def flags(self):
        """The flags of tltf.train for the same work: no validation, Adam at a constant rate."""
        is_text = self.modality == "text"
        size = (
            ("text_length", self.text_length) if is_text else ("image_size_px", self.image_size_px)
        )
        head = f"classify(hidden=[{self.hidden}])" if self.hidden else "classify"
        values = {
            "data": self.source(),
            "split": "holdout(validation=0)",
            "backbone": self.backbone,
            "head": head,
            "method": self.method,
            size[0]: size[1],
            "train_epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": "adam",
            "learning_rate": self.learning_rate,
            "schedule": "constant",
            "warmup_fraction": 0,
            "weight_decay": 0,
            "precision": self.precision,
            "seed": self.seed,
            "export": "false",
            "baseline": "none",
        }
        return [f"--{name}={value}" for name, value in values.items()]


def read_work():
    """The Work that the command line holds."""
    return Work(**json.loads(sys.argv[1]))


def texts(work, role):
    """`(list of texts, list of integer labels)` of train.csv or test.csv."""
    path = pathlib.Path(work.data, f"{role}.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [int(row["label"]) for row in rows]


def print_row(**row):
    """Prints what was measured as a line of JSON, the last one on standard output."""
    print(json.dumps(row), flush=True)
