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
        "JSON lines, or one file a split; fields by name; text=FIELD or image=FIELD of file paths",
    ),
    "tfds": Row(
        "tltf.data.catalog_datasets:tfds",
        {
            "name": str,
            "train": "train",
            "validation": "auto",
            "test": "auto",
            "image": "",
            "text": "",
            "label": "label",
            "data_dir": "",
        },
        "any data set of TensorFlow Datasets, such as cifar10 or imdb_reviews, and split of it",
    ),
    "numpy": Row(
        "tltf.data.arrays:numpy",
        {"path": str, "x": "x", "y": "y"},
        "an .npz file with arrays x and y, or x_train, y_train, x_test, y_test",
    ),
    "tfrecord": Row(
        "tltf.data.records:tfrecord",
        {
            "path": "",
            "train": "",
            "validation": "",
            "test": "",
            "text": "",
            "image": "",
            "label": "label",
            "class_names": (),
        },
        "TFRecord files of tf.train.Example; features by name; text=FEATURE or image=FEATURE",
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
    "digits": Row(
        "tltf.data.samples:digits",
        {"num_train": 0, "num_validation": 0, "num_test": 0},
        "1,797 digits, 8x8, of scikit-learn; 0 takes all there are",
        licence="BSD-3-Clause",
    ),
    "fashion_mnist": Row(
        "tltf.data.samples:fashion_mnist",
        {"num_train": 0, "num_validation": 0, "num_test": 0},
        "60,000 + 10,000 pictures of clothes, 28x28; 0 takes all there are",
        paper="Xiao et al. 2017, arXiv:1708.07747",
        licence="MIT",
    ),
    "emoji": Row(
        "tltf.data.samples:emoji",
        {
            "vendor": "google",
            "label": "category",
            "num_train": 0,
            "num_validation": 0,
            "num_test": 0,
        },
        "emoji as google or twitter draw them, 64x64, by category or subcategory; split by glyph",
        licence="Apache-2.0 (google), CC-BY-4.0 (twitter)",
    ),
}
