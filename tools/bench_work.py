"""The work that all sides of bench_transfer.py do, handed to each as one argument of JSON.

Free of packages: the Hugging Face side runs under another interpreter.
"""

import csv
import dataclasses
import json
import pathlib
import sys


@dataclasses.dataclass(frozen=True)
class Work:
    """What is trained, on what, for how long.

    Args:
        data: images: a folder of {train,test}/<class>/*.png, or an .npz file of arrays
            {x,y}_{train,test}; texts: a folder of {train,test}.csv.
        modality: `image` or `text`.
        method: tltf's method.
        epochs: passes over the training rows.
        learning_rate: of Adam, constant.
        batch_size: rows per step.
        hidden: units of a hidden layer in the head; 0 for none.
        text_length: tokens.
        image_size_px: side of the image.
        seed: of order and head.
        is_cached: plain Keras: `Dataset.cache()` behind decoding and resizing; texts tokenized
            once and not in every epoch.
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

    def text(self):
        """JSON that `given` reads."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def num_trained_groups(self):
        """How many of the backbone's layers are trained; -1 for all of them."""
        return {"linear_probe": 0, "partial(last_groups=2)": 2, "full": -1}[self.method]

    @property
    def backbone(self):
        """tltf's name of the backbone."""
        return "minilm_l6" if self.modality == "text" else "efficientnet_lite0"

    def source(self):
        """tltf's call string of the data."""
        if self.modality == "text":
            return f"csv(train='{self.data}/train.csv', test='{self.data}/test.csv', text=text)"
        name = "numpy" if self.has_arrays else "image_folder"
        return f"{name}(path='{self.data}')"

    @property
    def has_arrays(self):
        """Whether images are decoded already."""
        return self.data.endswith(".npz")

    def flags(self):
        """The flags of tltf.train for the same work: no validation, Adam at a constant rate."""
        is_text = self.modality == "text"
        size = (
            ("text_length", self.text_length) if is_text else ("image_size_px", self.image_size_px)
        )
        head = f"classify(hidden=[{self.hidden}])" if self.hidden else "classify"
        given = {
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
            "seed": self.seed,
            "export": "false",
        }
        return [f"--{name}={value}" for name, value in given.items()]


def given():
    """The Work on the command line."""
    return Work(**json.loads(sys.argv[1]))


def texts(work, role):
    """`(texts, labels)` of train.csv or test.csv: lists of str and of int."""
    path = pathlib.Path(work.data, f"{role}.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [int(row["label"]) for row in rows]


def say(**row):
    """Prints what was measured, as the last line of standard output."""
    print(json.dumps(row), flush=True)
