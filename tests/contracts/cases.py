"""One tiny case for every row of every catalog. A row without a case fails rows_test.py.

SOURCES maps a name to a function that makes the data in a folder and returns the call string;
the other catalogs map a name to the call strings to try. Cases in LARGE are slow or fetch more
than a few megabytes; every family has one that is not.
"""

import json

import numpy as np
import tensorflow as tf

from tltf.config import flagfiles, options

COLOURS = {"blue": 40, "red": 200}
TEXTS = [
    ("a fine film", "good"),
    ("dull and long", "bad"),
    ("great fun", "good"),
    ("I left early", "bad"),
    ("warm, clever", "good"),
    ("no story at all", "bad"),
    ("see it twice", "good"),
    ("a waste of time", "bad"),
]


def picture(number, label="red"):
    """PNG bytes of a 9 x 7 picture, different for each number."""
    pixels = np.random.default_rng(number).integers(0, 50, (7, 9, 3)) + COLOURS[label]
    return tf.io.encode_png(pixels.astype("uint8")).numpy()


def image_folder(folder):
    """Four pictures per class."""
    for label in COLOURS:
        (folder / label).mkdir()
        for number in range(4):
            (folder / label / f"{number}.png").write_bytes(picture(number, label))
    return f"image_folder(path={folder})"


def csv(folder, before=""):
    """Eight texts."""
    rows = ["text,label", *(f'"{before}{text}",{label}' for text, label in TEXTS)]
    (folder / "all.csv").write_text("\n".join(rows) + "\n")
    return f"csv(path={folder}/all.csv, text=text, label=label)"


def jsonl(folder):
    """Eight texts."""
    rows = [json.dumps({"said": text, "kind": label}) for text, label in TEXTS]
    (folder / "all.jsonl").write_text("\n".join(rows) + "\n")
    return f"jsonl(path={folder}/all.jsonl, text=said, label=kind)"


def numpy(folder):
    """Eight arrays of pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3)).astype("uint8")
    np.savez(folder / "all.npz", x=pixels, y=np.arange(8) % 2)
    return f"numpy(path={folder}/all.npz)"


def tfrecord(folder):
    """Eight pictures."""

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    with tf.io.TFRecordWriter(f"{folder}/all.tfrecord") as writer:
        for number in range(8):
            values = {"image": feature(picture(number)), "label": feature(number % 2)}
            example = tf.train.Example(features=tf.train.Features(feature=values))
            writer.write(example.SerializeToString())
    return f"tfrecord(path={folder}/all.tfrecord, image=image, class_names=[blue, red])"


def tfds(folder):
    """A data set that TFDS's own builder writes."""
    import tensorflow_datasets

    class ContractTexts(tensorflow_datasets.core.GeneratorBasedBuilder):
        """Eight texts, two of them for the test."""

        VERSION = tensorflow_datasets.core.Version("1.0.0")

        def _info(self):
            names = tensorflow_datasets.features.ClassLabel(names=["bad", "good"])
            features = {"text": tensorflow_datasets.features.Text(), "label": names}
            return self.dataset_info_from_configs(
                features=tensorflow_datasets.features.FeaturesDict(features),
                supervised_keys=("text", "label"),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0, 6), "test": self._generate_examples(6, 8)}

        def _generate_examples(self, first, end):
            for number in range(first, end):
                text, label = TEXTS[number]
                yield number, {"text": text, "label": label}

    ContractTexts(data_dir=str(folder)).download_and_prepare()
    return f"tfds(name=contract_texts, data_dir={folder})"


def shout(texts, seed):
    """Stands in for a translation and back."""
    return [f"{text}, {seed[1]} times" for text in texts]


def with_replay(folder):
    """New rows beside those of an earlier run, of which the run's flags are all that is read."""
    run = folder / "earlier"
    flagfiles.write(run / "run.flags", options.make(data=csv(folder)), "made")
    inner = folder / "new"
    inner.mkdir()
    return f"with_replay(run={run}, data={csv(inner, 'again: ')})"


def class_steps(folder):
    """Eight texts, a class in each step."""
    return f"class_steps(data={csv(folder)}, classes=1)"


def sequence(folder):
    """Eight texts, then eight others."""
    parts = [folder / "first", folder / "second"]
    for part in parts:
        part.mkdir()
    return f"sequence(steps=[{csv(parts[0])}, {csv(parts[1], 'again: ')}])"


def fixed(text):
    """A source that needs no files."""
    return lambda folder: text


SOURCES = {
    "image_folder": image_folder,
    "csv": csv,
    "jsonl": jsonl,
    "numpy": numpy,
    "tfrecord": tfrecord,
    "tfds": tfds,
    "with_replay": with_replay,
    "sequence": sequence,
    "class_steps": class_steps,
    "vader": fixed("vader(domain=tweets, num_train=40, num_test=20)"),
    "mnist_5k": fixed("mnist_5k(num_train=40, num_test=20)"),
    "digits": fixed("digits(num_train=40, num_test=20)"),
    "fashion_mnist": fixed("fashion_mnist(num_train=40, num_test=20)"),
    "emoji": fixed("emoji(num_train=90, num_test=90)"),
}
SPLITS = {
    "holdout": ["holdout", "holdout(test=.25, validation=0)", "holdout(test=.5, validation=.25)"],
    "kfold": ["kfold(folds=3, fold=0)", "kfold(folds=3, fold=2, validation=.2)"],
    "few_shot": ["few_shot(labels_a_class=2)", "few_shot(labels_a_class=3, draw=4, test=.4)"],
    "given": ["given"],
}
AUGMENTS = {
    "flip": ["flip", "flip(mode=vertical)"],
    "crop": ["crop"],
    "pad_crop": ["pad_crop(padding_px=2)"],
    "colour": ["colour"],
    "rotation": ["rotation(degrees=30)"],
    "randaugment": ["randaugment"],
    "mixup": ["mixup"],
    "cutmix": ["cutmix"],
    "eda": ["eda(copies=2)", "eda(copies=1, operations=[swap, delete])"],
    "back_translation": ["back_translation(function=tests.contracts.cases:shout)"],
    "token_dropout": ["token_dropout(rate=.5)"],
    "keras_cv": ["keras_cv(layer='RandomShear(x_factor=.2, y_factor=.2)')"],
}
BACKBONES = {
    **{
        name: [name]
        for name in (
            "efficientnet_lite0",
            "efficientnet_lite1",
            "efficientnet_lite2",
            "mobilenet_v2_torchvision",
            "densenet121_packaged",
            "resnet50",
            "resnet101",
            "resnet50_v2",
            "vgg16",
            "vgg19",
            "mobilenet_v2",
            "efficientnet_b0",
            "efficientnet_b1",
            "efficientnet_b2",
            "efficientnet_b3",
            "efficientnet_v2_b0",
            "efficientnet_v2_b1",
            "efficientnet_v2_b2",
            "efficientnet_v2_b3",
            "densenet121",
            "inception_v3",
            "convnext_tiny",
            "dog_mobilenet_v2",
            "hed_vgg16",
            "minilm_l6",
            "minilm_l3",
            "minilm_static",
            "glove",
            "smollm2_135m",
            "textgenrnn",
        )
    },
    "small_cnn": ["small_cnn", "small_cnn(filters=[4, 8], kernel_px=2, channels=3)"],
    "small_lstm": ["small_lstm(units=6, embedding=5, vocabulary=60)"],
}
HEADS = {
    "classify": [
        "classify",
        "classify(hidden=[6, 5], dropout=.2)",
        "classify(pooling=max, temperature=2.0, sure_from=.36)",
    ],
    "ordinal": ["ordinal", "ordinal(hidden=[6], order=[a, b, c], temperature=.7, set_from=.3)"],
    "multi_label": [
        "multi_label(hidden=[6])",
        "multi_label(thresholds=[.4, .5, .6], temperatures=[2, .5, 1])",
    ],
    "neighbors": ["neighbors(rows=4, count=2)"],
    "regress": ["regress", "regress(quantiles=[.1, .5], center=3.0, scale=2.0, dropout=.2)"],
    "multi_regress": [
        "multi_regress",
        "multi_regress(quantiles=[.1, .5], center=[3, 0, -1], scale=[2, 1, 20], dropout=.2)",
    ],
}
METHODS = {
    "linear_probe": ["linear_probe", "linear_probe(solver=lbfgs)"],
    "probe": ["probe", "probe(family=neighbors)"],
    "setfit": ["setfit", "setfit(last_groups=1, head=class_means)"],
    "prototypes": ["prototypes", "prototypes(ways=2, sharpness=0.0)"],
    "fastfit": ["fastfit", "fastfit(head=class_means)"],
    "zero_shot": ["zero_shot", "zero_shot(name_weight=auto)"],
    "partial": ["partial(last_groups=1)"],
    "full": ["full", "full(backbone_rate=.5)"],
    "lp_ft": ["lp_ft", "lp_ft(solver=gradient)", "lp_ft(solver=light)"],
    "discriminative": ["discriminative"],
    "gradual": ["gradual(stages=2)"],
    "curriculum": ["curriculum(stages=2)", "curriculum(stages=2, solver=gradient)"],
    "bitfit": ["bitfit"],
    "norm_only": ["norm_only"],
    "rules": ["rules(patterns=['head/.*', '.*/kernel'], rates=[1, .5])"],
    "lora": ["lora(rank=1)", "lora(rank=2, targets='.*/kernel', rslora=true)"],
    "adapters": [
        "adapters(size=2)",
        "adapters(size=2, places=pfeiffer)",
        "adapters(size=2, targets='.*/kernel')",
    ],
    "prefix": ["prefix(length=2)"],
    "prompt": ["prompt(length=2)"],
    "ia3": ["ia3"],
    "l2_sp": ["l2_sp"],
    "bss": ["bss(smallest=2)"],
    "delta": ["delta(alpha=0.01)"],
    "lwf": ["lwf", "lwf(old_head=shared)"],
    "ewc": ["ewc", "ewc(last_groups=1, fisher_rows=8)"],
    "ncm": ["ncm", "ncm(scaled=false)"],
    "distill": ["distill(teacher=tiny)", "distill(teacher=tiny, weight=1.0, feature_weight=1.0)"],
    "adversarial": ["adversarial", "adversarial(steps=2, epsilon=.1)"],
    "soup": ["soup(runs=[a, b], greedy=false)"],
    "wise_ft": ["wise_ft(steps=4)", "wise_ft(steps=4, solver=light, choice=mean)"],
    "crop": ["crop"],
    "prune": [
        "prune(share=.3, updates=3)",
        "prune(share=.5, solver=gradient, targets='stage_2/.*')",
    ],
    "dann": ["dann(hidden=16)", "dann(hidden=16, last_groups=1)"],
    "cdan": ["cdan(hidden=16)", "cdan(hidden=0, entropy=false, last_groups=1)"],
    "coral": ["coral(hidden=16)"],
    "dan": ["dan(hidden=16)"],
    "afn": ["afn(hidden=16)"],
    "mcc": ["mcc(hidden=16)"],
    "shot": ["shot(last_groups=1)"],
    "adabn": ["adabn"],
    "self_training": ["self_training(rounds=2)"],
    "label_propagation": ["label_propagation(neighbors=5)"],
    "align": ["align(rounds=2)", "align(moments=covariance, rounds=0)"],
    "pseudo_label": ["pseudo_label(threshold=.4)", "pseudo_label(hidden=8, last_groups=1)"],
    "fixmatch": ["fixmatch(threshold=.4, hidden=8)", "fixmatch(last_groups=1)"],
    "flexmatch": ["flexmatch(threshold=.4)", "flexmatch(hidden=8, last_groups=1)"],
    "scratch": ["scratch"],
}
ON_TEXTS = {
    "adapters(size=2)",
    "adapters(size=2, places=pfeiffer)",
    "prefix(length=2)",
    "prompt(length=2)",
    "ia3",
    "fastfit",
    "fastfit(head=class_means)",
    "zero_shot",
    "zero_shot(name_weight=auto)",
    "adversarial(steps=2, epsilon=.1)",
}
"""Cases of methods that are for transformers."""
FORMATS = {
    "saved_model": ["saved_model"],
    "litert": ["litert", "litert(quantize=int8)"],
    "onnx": ["onnx"],
    "openvino": ["openvino"],
    "hf": ["hf"],
}
TRACKERS = {
    "tensorboard": ["tensorboard"],
    "wandb": ["wandb(project=x, mode=offline)"],
    "mlflow": ["mlflow(uri=sqlite:///runs.db, model=false)"],
}
ABSTENTIONS = {
    "coverage": ["coverage", "coverage(share=.5)"],
    "accuracy": ["accuracy(least=.8, confidence=.9)"],
    "conformal": ["conformal(error=.2)"],
}
ALARMS = {
    "drift": ["drift", "drift(alpha=.05)"],
    "rate": ["rate(label=bad, above=.4)", "rate(label=bad, above=.4, below=.1)"],
    "surge": ["surge(label=bad)", "surge(label=bad, points=.2, alpha=.01, windows=0)"],
    "mean": ["mean(above=3)", "mean(name=price, above=3.5, below=-1)"],
    "failures": ["failures", "failures(above=.2)"],
}
QUERIES = {
    "random": ["random"],
    "margin": ["margin"],
    "entropy": ["entropy"],
    "badge": ["badge"],
    "coreset": ["coreset"],
    "typiclust": ["typiclust", "typiclust(most_clusters=50, least_size=2, neighbors=5)"],
}

EXPLAINERS = {
    "grad_cam": ["grad_cam", "grad_cam(layer=stage_1)"],
    "integrated_gradients": [
        "integrated_gradients",
        "integrated_gradients(baseline=black)",
        "integrated_gradients(baseline=pad, tolerance=.001)",
    ],
}
CASES = {
    "sources": SOURCES,
    "splits": SPLITS,
    "augments": AUGMENTS,
    "backbones": BACKBONES,
    "heads": HEADS,
    "methods": METHODS,
    "formats": FORMATS,
    "trackers": TRACKERS,
    "explainers": EXPLAINERS,
    "abstentions": ABSTENTIONS,
    "alarms": ALARMS,
    "queries": QUERIES,
}
LARGE = {
    "openvino",
    "cdan",
    "coral",
    "dan",
    "afn",
    "mcc",
    "adabn",
    "fashion_mnist",
    "emoji",
    "resnet101",
    "vgg19",
    "resnet50_v2",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_v2_b1",
    "efficientnet_v2_b2",
    "efficientnet_v2_b3",
    "hed_vgg16",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "densenet121_packaged",
    "minilm_l6",
    "minilm_l3",
    "minilm_static",
    "glove",
    "smollm2_135m",
}
