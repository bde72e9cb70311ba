"""What people type out of habit, from other tools, and what it is called here."""

from tltf.errors import FlagError, nearest

DESTROYING = frozenset(("overwrite",))
"""Flags that are never suggested: what they do cannot be undone."""
FLAGS = {
    "lr": "learning_rate",
    "max_lr": "learning_rate",
    "base_lr": "learning_rate",
    "epochs": "train_epochs",
    "epoch": "train_epochs",
    "num_epochs": "train_epochs",
    "n_epochs": "train_epochs",
    "num_train_epochs": "train_epochs",
    "max_epochs": "train_epochs",
    "bs": "batch_size",
    "batch": "batch_size",
    "per_device_train_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "model": "backbone",
    "model_name": "backbone",
    "model_name_or_path": "backbone",
    "arch": "backbone",
    "architecture": "backbone",
    "network": "backbone",
    "base_model": "backbone",
    "pretrained": "backbone_weights",
    "weights": "backbone_weights",
    "checkpoint": "backbone_weights",
    "dataset": "data",
    "dataset_name": "data",
    "data_dir": "data",
    "train_file": "data",
    "data_path": "data",
    "out": "output",
    "out_dir": "output",
    "output_dir": "output",
    "save_dir": "output",
    "logdir": "output",
    "log_dir": "output",
    "wd": "weight_decay",
    "opt": "optimizer",
    "optim": "optimizer",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "lr_scheduler_type": "schedule",
    "warmup_ratio": "warmup_fraction",
    "warmup": "warmup_fraction",
    "img_size": "image_size_px",
    "image_size": "image_size_px",
    "imgsz": "image_size_px",
    "size": "image_size_px",
    "resolution": "image_size_px",
    "max_length": "text_length",
    "max_seq_length": "text_length",
    "max_len": "text_length",
    "seq_length": "text_length",
    "augmentation": "augment",
    "aug": "augment",
    "dropout": "backbone_dropout",
    "max_grad_norm": "global_clipnorm",
    "gradient_clip_val": "global_clipnorm",
    "grad_clip": "global_clipnorm",
    "patience": "early_stopping_epochs",
    "early_stopping": "early_stopping_epochs",
    "random_seed": "seed",
    "random_state": "seed",
    "smoothing": "label_smoothing",
    "finetune": "method",
    "fine_tune": "method",
    "strategy_name": "strategy",
    "distribute": "strategy",
    "val_split": "split",
    "validation_split": "split",
    "test_size": "split",
    "folds": "split",
    "task": "head",
    "ema": "ema_decay",
    "class_weight": "class_weights",
    "run_dir": "run",
    "model_dir": "run",
    "file": "input",
    "inputs": "input",
    "text": "input",
    "image": "input",
}
"""Another tool's flag -> ours, where its values are understood or an error names them."""
SENTENCES = {
    "verbose": "progress is always shown; 2> /dev/null hides it, --debug shows where an error was raised",
    "quiet": "2> /dev/null hides progress",
    "gpus": "all GPUs that TensorFlow sees are used; CUDA_VISIBLE_DEVICES chooses",
    "gpu": "all GPUs that TensorFlow sees are used; CUDA_VISIBLE_DEVICES chooses",
    "device": "all GPUs that TensorFlow sees are used; CUDA_VISIBLE_DEVICES chooses",
    "devices": "all GPUs that TensorFlow sees are used; CUDA_VISIBLE_DEVICES chooses",
    "fp16": "--precision=mixed_float16",
    "bf16": "--precision=mixed_bfloat16",
    "amp": "--precision=mixed_float16",
    "mixed_precision": "--precision=mixed_float16",
    "freeze": "--method=linear_probe trains the head only, --method=partial the last groups too",
    "freeze_backbone": "--method=linear_probe trains the head only",
    "num_workers": "all cores are used",
    "workers": "all cores are used",
    "num_classes": "classes are counted in the data",
    "do_train": "python -m tltf.train trains, tltf.evaluate evaluates, tltf.predict predicts",
    "do_eval": "python -m tltf.train trains, tltf.evaluate evaluates, tltf.predict predicts",
    "do_predict": "python -m tltf.train trains, tltf.evaluate evaluates, tltf.predict predicts",
    "config": "--flagfile=FILE.flags reads flags from a file",
    "yes": "--help lists the flags",
    "force": "give another --output; --help says what else there is",
    "threshold": "thresholds are chosen on validation; see --head",
}
"""A flag that has no other name here -> what to do."""
NAMES = {
    "method": {
        "finetune": "full", "fine_tune": "full", "fine_tuning": "full", "finetuning": "full",
        "feature_extraction": "linear_probe", "feature_extractor": "linear_probe",
        "frozen": "linear_probe", "freeze": "linear_probe", "head": "linear_probe",
        "head_only": "linear_probe", "linear": "linear_probe", "probe": "linear_probe",
        "from_scratch": "scratch", "random": "scratch", "peft": "lora", "adapter": "adapters",
        "prefix_tuning": "prefix", "prompt_tuning": "prompt", "distillation": "distill",
        "gradual_unfreezing": "gradual", "model_soup": "soup",
    },
    "backbone": {
        "resnet": "resnet50", "resnet50v2": "resnet50_v2", "vgg": "vgg16", "mobilenet": "mobilenet_v2",
        "mobilenetv2": "mobilenet_v2", "efficientnet": "efficientnet_b0",
        "efficientnetb0": "efficientnet_b0", "densenet": "densenet121", "inception": "inception_v3",
        "inceptionv3": "inception_v3", "convnext": "convnext_tiny", "minilm": "minilm_l6",
        "all-MiniLM-L6-v2": "minilm_l6", "bert": "hub:bert_base_en",
        "bert-base-uncased": "hub:bert_base_en_uncased", "bert-base-cased": "hub:bert_base_en",
        "distilbert-base-uncased": "hub:distil_bert_base_en_uncased",
        "roberta-base": "hub:roberta_base_en",
    },
    "head": {
        "classification": "classify", "classifier": "classify", "multilabel": "multi_label",
        "multi-label": "multi_label", "regression": "regress", "softmax": "classify",
    },
    "data": {
        "imagefolder": "image_folder", "images": "image_folder", "folder": "image_folder",
        "json": "jsonl", "tsv": "csv", "npz": "numpy", "tfrecords": "tfrecord", "mnist": "mnist_5k",
    },
    "split": {"k_fold": "kfold", "cross_validation": "kfold", "cv": "kfold", "random": "holdout",
              "stratified": "holdout"},
}  # fmt: skip
"""Flag -> another tool's value -> ours."""


def unknown_flag(name, text, place, known):
    """The FlagError for a flag that there is not.

    Args:
        name: without dashes.
        text: its value, or None.
        place: `file:row` of a flagfile, or "".
        known: names of the flags of the command.
    """
    plain = name.replace("-", "_").lower()
    value = f"={text}" if text is not None else ""
    usual = FLAGS.get(plain)
    near = [flag for flag in nearest(plain, known, limit=3) if flag not in DESTROYING]
    if plain in known and plain not in DESTROYING:
        usual = plain
    if usual in known:
        return FlagError(f"no flag --{name}", place=place, fix=f"--{usual}{value}")
    if plain in SENTENCES:
        return FlagError(f"no flag --{name}", place=place, fix=SENTENCES[plain])
    if near:
        what = f"no flag --{name} (nearest: {', '.join(near)})"
        return FlagError(what, place=place, fix=f"--{near[0]}{value}")
    return FlagError(f"no flag --{name}", place=place, fix="--help lists the flags")


def of_name(name, rest, catalog, flag):
    """The fix for a name that a catalog does not have; empty where nothing is like it.

    Args:
        name: what was typed.
        rest: the brackets behind it.
        catalog: the names that there are.
        flag: the flag that takes them.
    """
    usual = NAMES.get(flag, {})
    by_form = {key.lower().replace("-", "_"): value for key, value in usual.items()}
    found = by_form.get(name.lower().replace("-", "_"))
    if found:
        return f"--{flag}={found}"  # another tool's arguments are not ours
    near = nearest(name, catalog, limit=1)
    return f"--{flag}={near[0]}{rest}" if near else ""
