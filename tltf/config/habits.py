"""What people type from the habit of another tool, and what means the same here.

Every suggestion of an error comes from here or from `errors.nearest`. None of them destroys
anything, and each is accepted: tests/config/habits_test.py gives each to the command.
"""

import dataclasses
import os
import re
from collections.abc import Collection, Mapping, Sequence

from tltf.config.catalogs import SOURCES
from tltf.errors import nearest

_OFF = ("0", "false", "no", "none", "off")


@dataclasses.dataclass(frozen=True)
class Advice:
    """The answer to a wrong flag.

    Args:
        flag: the flag that is meant; empty where there is none.
        text: its value; None where none was given.
        sentence: a fix in words, where there is no flag or its value cannot be carried over.
    """

    flag: str = ""
    text: str | None = None
    sentence: str = ""


FLAGS = {
    "learning_rate": "lr base_lr lr0 init_lr learningrate lr_max max_lr rate",
    "train_epochs": "epochs epoch num_epochs n_epochs num_train_epochs max_epochs nepochs ep",
    "batch_size": "batch bs batchsize train_batch_size per_device_train_batch_size mini_batch_size",
    "eval_batch_size": "val_batch_size test_batch_size per_device_eval_batch_size",
    "backbone": "model arch architecture model_name model_name_or_path base_model encoder network "
    "net pretrained_model",
    "run": "checkpoint ckpt checkpoint_path model_path model_dir run_dir saved_model model",
    "backbone_weights": "weights pretrained_weights initial_weights",
    "data": "dataset data_dir data_path dataset_name train_dir train_data data_root datapath "
    "train_file dataset_path folder",
    "input": "inputs image images file files source data data_dir input_file",
    "output": "out output_dir out_dir save_dir save_path outdir o logdir log_dir results_dir "
    "project output_path",
    "title": "name run_name experiment exp_name experiment_name",
    "weight_decay": "wd l2 decay",
    "optimizer": "optim opt optimiser",
    "schedule": "scheduler lr_scheduler lr_scheduler_type sched lr_schedule",
    "warmup_fraction": "warmup_ratio warmup",
    "global_clipnorm": "max_grad_norm clip_grad gradient_clip_val grad_clip clip_grad_norm "
    "gradient_clip",
    "image_size_px": "img_size image_size imgsz size resize input_size img_height resolution imsize",
    "text": "texts sentence sentences",
    "top_k": "topk num_top k",
    "text_length": "max_length max_seq_length max_len seq_len sequence_length maxlen max_seq_len",
    "label_smoothing": "smoothing label_smoothing_factor ls",
    "early_stopping_epochs": "patience early_stopping_patience early_stopping early_stop",
    "augment": "augmentation augmentations aug transforms tfms",
    "class_weights": "class_weight weight_classes",
    "loss": "loss_fn criterion loss_function",
    "precision": "dtype mixed_precision",
    "seed": "random_seed random_state manual_seed rng_seed",
    "ema_decay": "ema model_ema_decay",
    "adam_beta_1": "beta1 beta_1 adam_beta1",
    "adam_beta_2": "beta2 beta_2 adam_beta2",
    "adam_epsilon": "eps epsilon opt_eps",
    "stochastic_depth": "drop_path drop_path_rate",
    "strategy": "distribution_strategy distribute",
    "method": "tuning transfer transfer_method finetuning strategy_name",
    "baseline": "baselines",
    "track": "report_to tracker trackers logger loggers log_with tracking",
    "metric": "scoring eval_metric metric_for_best_model monitor",
    "trials": "n_trials num_trials max_trials num_samples n_iter",
    "space": "search_space param_space hp_space",
    "limit": "max_train_samples max_samples max_rows num_rows nrows n_rows sample subset "
    "limit_train_batches limit_examples",
}
"""The flag that is meant, and what is typed for it; the value is carried over."""

PHRASES = {
    "head=classify(dropout={})": "dropout drop drop_rate head_dropout classifier_dropout",
    "precision=mixed_float16": "fp16 amp half use_amp use_fp16 to_fp16",
    "precision=mixed_bfloat16": "bf16 use_bf16",
    "method=linear_probe": "freeze freeze_backbone frozen freeze_base feature_extraction "
    "feature_extract",
    "method=full": "unfreeze finetune fine_tune full_finetune",
    "method=lora(rank={})": "lora_r lora_rank rank",
    "method=lora": "lora use_lora peft",
    "backbone_weights=default": "pretrained use_pretrained",
    "backbone_weights=none": "from_scratch random_init",
    "augment=mixup(alpha={})": "mixup mixup_alpha",
    "split=holdout(validation={})": "val_split validation_split valid_pct val_size val_pct "
    "validation_fraction",
    "split=holdout(test={})": "test_size test_split test_fraction",
    "split=kfold(folds={}, fold=-1)": "folds num_folds n_splits k_fold kfold cv",
    "resume=auto": "resume_from_checkpoint resume_training continue_training continue",
    "track=tensorboard": "tensorboard tb use_tensorboard",
    "track=wandb(project={})": "wandb_project",
    "track=wandb": "wandb use_wandb",
    "track=mlflow(uri={})": "tracking_uri mlflow_uri mlflow_tracking_uri",
    "track=mlflow": "mlflow use_mlflow",
    "quiet=true": "q silent disable_tqdm disable_progress_bar no_progress",
    "dry_run=true": "dryrun plan_only",
    "debug": "traceback log_level loglevel",
    "help": "h usage",
}
"""A flag with a value of its own, and what is typed for it; {} is the value that was given."""

SENTENCES = {
    "leave it out: progress is always shown, and --debug shows more": "verbose v "
    "logging_steps log_interval log_every_n_steps progress",
    "leave it out: all visible GPUs are used; the environment's CUDA_VISIBLE_DEVICES says which": "gpus "
    "gpu gpu_ids device devices num_gpus cuda no_cuda use_gpu accelerator n_gpu ngpu",
    "leave it out: reading uses all the cores that there are": "num_workers workers "
    "dataloader_num_workers n_jobs num_proc",
    "leave it out: the data says how many classes there are": "num_classes num_labels n_classes "
    "nc classes labels n_labels",
    "give --warmup_fraction, a share of all steps": "warmup_steps num_warmup_steps warmup_epochs",
    "leave it out: checkpoints are written at intervals of time, see --help": "save_steps "
    "save_every save_strategy save_total_limit save_freq checkpoint_steps",
    "leave it out: the validation split is measured after every epoch": "eval_steps evaluation_strategy "
    "eval_strategy validate_every",
    "leave it out: each task is a command of its own: python -m tltf.evaluate, python -m tltf.predict": "do_train "
    "train_mode do_eval do_predict do_test mode task",
    "leave it out: batches are not accumulated; a smaller --batch_size needs less memory": "gradient_accumulation_steps "
    "accumulate_grad_batches accum_iter grad_accum",
    "give a number of epochs: --train_epochs": "max_steps num_steps steps steps_per_epoch iterations",
    "there is no limit of time: --train_epochs=3 or --limit=500 make a run shorter": "time_limit "
    "max_time timeout time_budget",
    "leave it out: a network comes with its own tokenizer": "tokenizer tokenizer_name",
    "leave it out: thresholds and ranks are for python -m tltf.predict": "threshold top_k topk",
    "name the column in --data: --data='csv(path=all.csv, text=COLUMN, label=COLUMN)'": "text_column "
    "text_col text label_column label_col label target target_column",
    "leave it out: reports hold every metric that fits the labels": "metrics compute_metrics",
    "run `pip show tltf` for the version": "version",
    "leave it out: --image_size_px is the side of a square": "img_width width height",
    "name another folder, so that nothing is lost": "force f overwrite_output_dir "
    "exist_ok clobber replace",
    "leave it out: rows are shuffled by --seed": "shuffle no_shuffle",
    "leave it out: --output is where the model stays": "push_to_hub hub_model_id hub_token",
}
"""A sentence for habits that no flag stands for, and what is typed."""

VALUES = {
    "method": {
        "full": "finetune finetuning fine_tune fine_tuning full_finetune full_finetuning full_ft "
        "ft all end_to_end unfrozen",
        "linear_probe": "feature_extraction feature_extractor feature_extract frozen freeze "
        "linear linear_eval linear_probing probe head_only last_layer lp",
        "gradual": "gradual_unfreezing unfreeze ulmfit",
        "discriminative": "llrd layerwise_decay discriminative_lr layer_decay",
        "lp_ft": "lpft probe_then_finetune fit_one_cycle fine_tune_two_stage",
        "lora": "peft qlora low_rank",
        "adapters": "adapter houlsby pfeiffer",
        "prefix": "prefix_tuning p_tuning",
        "prompt": "prompt_tuning soft_prompt",
        "distill": "distillation kd knowledge_distillation",
        "scratch": "from_scratch none random",
        "bitfit": "bias_only bias",
    },
    "backbone": {
        "resnet50": "resnet resnet18 resnet34 resnet_50 microsoft/resnet_50",
        "resnet101": "resnet152",
        "vgg16": "vgg vgg11 vgg13",
        "mobilenet_v2": "mobilenet mobilenet_v3 mobilenetv2 mobilenetv3 mobilenet_v3_large",
        "efficientnet_b0": "efficientnet efficientnetb0",
        "efficientnet_b3": "efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7",
        "efficientnet_v2_b0": "efficientnetv2 efficientnet_v2 efficientnet_v2_s",
        "densenet121": "densenet",
        "inception_v3": "inception",
        "convnext_tiny": "convnext",
        "minilm_l6": "minilm all_minilm_l6_v2 sentence_transformers sbert",
        "minilm_l3": "minilm_l3_v2 paraphrase_minilm_l3_v2",
        "minilm_static": "model2vec static_embeddings potion",
        "glove": "word2vec fasttext glove_6b word_vectors word_embeddings",
        "smollm2_135m": "smollm smollm2 smol_lm smollm2_135m_instruct llama gpt2 decoder llm",
        "textgenrnn": "char_lstm char_rnn character_lstm",
        "hub:bert_base_en_uncased": "bert bert_base bert_base_uncased",
        "hub:bert_base_en": "bert_base_cased",
        "hub:distil_bert_base_en_uncased": "distilbert distilbert_base_uncased",
        "hub:roberta_base_en": "roberta roberta_base",
    },
    "head": {
        "classify": "classification classifier softmax single_label linear",
        "multi_label": "multilabel multilabel_classification multi_label_classification "
        "multi_hot tags",
        "regress": "regression regressor mse number",
        "ordinal": "ordinal_regression ordered",
    },
    "optimizer": {
        "adamw": "adamw_torch adamw_hf adam_w adamw_torch_fused",
        "sgd": "momentum nesterov",
    },
    "schedule": {
        "one_cycle": "onecycle 1cycle fit_one_cycle one_cycle_lr",
        "plateau": "reduce_on_plateau reduce_lr_on_plateau",
        "cosine": "cosine_annealing cosine_with_restarts",
        "constant": "none fixed",
    },
    "precision": {
        "mixed_float16": "fp16 float16 half 16 16_mixed",
        "mixed_bfloat16": "bf16 bfloat16 bf16_mixed",
        "float32": "fp32 32 full no",
    },
    "backbone_weights": {
        "default": "imagenet imagenet1k pretrained true auto imagenet1k_v1 imagenet1k_v2",
        "none": "false random null scratch",
    },
    "strategy": {
        "mirrored": "ddp dp multi_gpu",
        "one_device": "gpu cpu single",
        "multi_worker": "multi_node horovod",
    },
    "augment": {
        "flip": "horizontal_flip hflip random_flip random_horizontal_flip fliplr mirror",
        "rotation": "rotate random_rotation",
        "colour": "color color_jitter jitter brightness",
        "crop": "random_crop random_resized_crop resized_crop",
        "randaugment": "rand_augment auto_augment autoaugment trivialaugment",
    },
    "baseline": {
        "logistic|scratch": "all both everything true",
        "logistic": "linear linear_probe lr sklearn logistic_regression linear_model",
        "probe": "light_head tuned_probe ridge lda knn",
        "classical": "tfidf tf_idf bag_of_words bow hog svm",
        "scratch": "random random_weights from_scratch",
        "without_source": "target_only no_source single_stage",
        "none": "false off no 0",
    },
    "metric": {
        "macro_f1": "f1 f1_macro f1_score macro",
        "loss": "val_loss eval_loss log_loss source_risk",
        "target_entropy": "entropy",
        "target_information": "im infomax information_maximisation mutual_information",
        "target_risk": "dev deep_embedded_validation iwcv",
        "auto": "accuracy acc val_accuracy eval_accuracy",
    },
    "track": {
        "tensorboard": "tb true tensorboard_logger tensor_board",
        "wandb": "w&b wandb_logger weights_and_biases weightsandbiases",
        "mlflow": "mlflow_logger ml_flow",
        "none": "false off no 0",
    },
    "class_weights": {"balanced": "true auto inverse"},
    "sampling": {"balanced": "weighted oversample weighted_random"},
    "keep": {"best": "true save_best_only load_best_model_at_end"},
    "loss": {
        "cross_entropy": "ce crossentropy categorical_crossentropy "
        "sparse_categorical_crossentropy binary_crossentropy bce",
        "focal": "focal_loss",
    },
    "split": {
        "holdout": "train_test_split random random_split",
        "kfold": "cv cross_validation k_fold stratified_kfold",
        "given": "predefined fixed",
    },
}
"""For each flag: the value that is meant, and what is typed for it."""

ARGUMENTS = {
    "path": "dir folder root directory data_dir file filename data_files",
    "label": "labels target y label_column label_col class target_column",
    "text": "texts sentence text_column text_col x content",
    "image": "images image_column img image_path filename_column",
    "delimiter": "sep separator delim",
    "encoding": "charset",
    "train": "train_file training",
    "validation": "val valid dev validation_file",
    "test": "test_file test_size",
    "rank": "r lora_r",
    "alpha": "lora_alpha",
    "last_groups": "layers num_layers n_layers last_layers groups",
    "folds": "k n_splits num_folds",
    "dropout": "drop rate p",
    "hidden": "units hidden_units dense",
    "name": "dataset id",
}
"""The argument in brackets that is meant, and what is typed for it."""


RETIRED = {"tensorboard": {"true": ("track", "tensorboard")}}
"""Flag of an earlier version -> its value -> the flag and the value that mean the same now. Other
values of it mean the default. Flag files, such as run.flags of earlier runs, may still have them."""


def retired(name: str, text: str | None) -> tuple[str, str] | None:
    """What a retired flag of a flag file means now, as `(flag, value)`; None where it is the default."""
    return RETIRED[name].get("true" if text is None else text.strip().lower())


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _meant(table: Mapping[str, str], name: str) -> list[str]:
    return [meant for meant, typed in table.items() if _plain(name) in typed.split()]


def flag(name: str, text: str | None, known: Sequence[str]) -> Advice | None:
    """The Advice for a flag that a command does not have; None where nothing is near.

    Args:
        name: the flag as it was typed, without dashes.
        text: its value; None where none was given.
        known: the flags of the command.
    """
    for sentence in _meant(SENTENCES, name):
        if set(re.findall(r"--(\w+)", sentence)) <= set(known):
            return Advice(sentence=sentence)
    for phrase in _meant(PHRASES, name):
        meant, equals, own = phrase.partition("=")
        if meant in known:
            if "{}" not in own and (text or "").lower() in _OFF:
                return Advice(sentence="leave it out")
            return Advice(meant, own.replace("{}", text or "VALUE") if equals else None)
    near = [name for name in _meant(FLAGS, name) if name in known] or nearest(name, known, 1)
    if not near or not text:
        return Advice(near[0], text) if near else None
    meant = value(near[0], text)
    is_bare = near[0] == "data" and meant.partition("(")[0] not in SOURCES
    return Advice(near[0], source(meant) if is_bare else meant)


def value(name: str, text: str) -> str:
    """The value that a text means for flag `name`; the text itself where no habit is known."""
    typed, bracket, rest = text.partition("(")
    meant = _meant(VALUES.get(name, {}), typed)
    if meant:
        return meant[0] + bracket + rest
    is_path = bool(set(text) & set("/\\.~")) or os.path.exists(text)
    return source(text) if name == "data" and not bracket and is_path else text


def source(path: str) -> str:
    """The call string that reads a path; its suffix says which source that is."""
    quoted = repr(path) if set(path) & set(",()[]{}=\"'| ") else path
    kind = path.rpartition(".")[2].lower()
    if kind in ("csv", "tsv"):
        return f"csv(path={quoted}, text=text, label=label)"
    if kind in ("jsonl", "ndjson"):
        return f"jsonl(path={quoted}, text=text, label=label)"
    return f"image_folder(path={quoted})"


def choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    """The one of `choices` that a text means for flag `name`; empty where nothing is near."""
    meant = value(name, text)
    return meant if meant in choices else next(iter(nearest(text, choices, 1)), "")


def argument(name: str, known: Collection[str]) -> str:
    """The argument that an unknown one means; empty where nothing is near."""
    found = [meant for meant in _meant(ARGUMENTS, name) if meant in known]
    return next(iter(found or nearest(name, known, 1)), "")
