"""SOURCES: where labelled examples come from."""

from tltf.catalogs.row import Row

SOURCES = {
    "image_folder": Row(
        "tltf.data.image_folder:image_folder",
        {"path": str},
        "a folder with a folder of images a class, with or without train/ validation/ test/ above",
    ),
    "csv": Row(
        "tltf.data.tables:csv",
        {
            "path": "",
            "train": "",
            "validation": "",
            "test": "",
            "text": "",
            "image": "",
            "label": "label",
            "delimiter": ",",
            "encoding": "utf-8",
        },
        "a CSV file, or one a split; columns by name; text=COLUMN or image=COLUMN of file paths",
    ),
    "jsonl": Row(
        "tltf.data.tables:jsonl",
        {
            "path": "",
            "train": "",
            "validation": "",
            "test": "",
            "text": "",
            "image": "",
            "label": "label",
            "encoding": "utf-8",
        },
        "JSON lines, or one file a split; fields by name",
    ),
    "vader": Row(
        "tltf.data.samples:vader",
        {"domain": "movie", "num_train": 0, "num_validation": 0, "num_test": 0},
        "sentiment polarity of movie, amazon, nyt or tweets snippets; 0 takes all there are",
        paper="Hutto & Gilbert 2014, ICWSM",
        licence="MIT",
    ),
    "mnist_5k": Row(
        "tltf.data.samples:mnist_5k",
        {"num_train": 0, "num_validation": 0, "num_test": 0},
        "5,000 MNIST digits, 28x28; 0 takes all there are",
        licence="BSD-3-Clause",
    ),
}
