"""The lines of the scorecard: its tasks, the runs that others take, and the methods of each task."""

WORK = {
    "vader": [
        "--data=vader(domain=movie, num_train=2000, num_test=2000)",
        "--text_length=48",
        "--backbone=minilm_l6",
    ],
    "fashion": [
        "--data=fashion_mnist(num_train=3000, num_test=2000)",
        "--image_size_px=96",
        "--backbone=efficientnet_lite0",
    ],
}
"""Task -> flags of its runs."""
WORK |= {
    f"{task} {backbone.partition('(')[0]}": [*WORK[task][:-1], f"--backbone={backbone}"]
    for task, backbone in (
        ("fashion", "dog_mobilenet_v2"),
        ("fashion", "hed_vgg16"),
        ("fashion", "small_cnn(filters=[32, 64, 128, 128], channels=3)"),
        ("vader", "small_lstm"),
        ("vader", "minilm_l3"),
        ("vader", "minilm_static"),
    )
}
WORK["vader small_lstm on glove"] = [*WORK["vader"][:-1], "--backbone=small_lstm(vectors=glove)"]
WORK["fashion digits"] = [*WORK["fashion"][:-1], "--backbone={digits}"]
OTHER_TASK = {
    "vader": ["--data=vader(domain=amazon, num_train=1000, num_test=1000)", "--text_length=48"],
    "fashion": ["--data=mnist_5k(num_train=1000, num_test=1000)", "--image_size_px=96"],
}
PREPARED = {
    "digits": [*OTHER_TASK["fashion"], WORK["fashion"][-1], "--method=full"],
    "fashion_full": [*WORK["fashion"], "--method=full"],
    "vader_full": [*WORK["vader"], "--method=full"],
    "vader_slow": [*WORK["vader"], "--method=full", "--learning_rate=3e-5"],
    "vader_quick": [*WORK["vader"], "--method=full", "--learning_rate=8e-5"],
}
"""Name -> flags of a run that other runs take; `{name}` in their flags stands for its folder."""
GATED = {
    "full": 5,
    "linear_probe(solver=lbfgs)": 5,
    "probe": 5,
    "lp_ft": 5,
    "wise_ft": 5,
    "lora": 5,
}
OTHERS = dict.fromkeys(
    [
        "partial",
        "gradual",
        "discriminative(decay=1.3)",
        "curriculum",
        "bitfit",
        "norm_only",
        "l2_sp",
        "delta",
        "bss",
        "adversarial",
        "crop",
        "prune",
        "setfit",
        "prototypes",
        "zero_shot",
    ],
    1,
)
TRAINED_NORMS = [
    f"{method} --norm=train --learning_rate=1e-3"
    for method in (
        "full",
        "partial",
        "gradual",
        "discriminative(decay=1.3)",
        "l2_sp",
        "delta",
        "bss",
    )
]
"""Methods as they were by default until batch norms of pretrained networks were left as they are."""
NO_WARM_UP = [
    f"{method} --warmup_fraction=0" for method in ("lp_ft", "wise_ft", "curriculum", "crop")
]
"""Methods as they were on pictures until they warmed up after a solved head."""
SOLVED_START = [f"{method} --head_weights=solved" for method in ("bitfit", "norm_only")]
"""Methods of few numbers that begin with a solved head."""
IMAGES_ONLY = [
    *TRAINED_NORMS,
    *SOLVED_START,
    *NO_WARM_UP,
    "full --augment=mixup",
    "full --augment=cutmix",
    "full --augment=randaugment",
]
TEXTS_ONLY = [
    *SOLVED_START,
    "lora --head_weights=solved",
    "fastfit",
    "full --augment=eda(copies=1)",
    "full --augment=token_dropout",
    "distill(teacher='{vader_full}')",
    "soup(runs=['{vader_slow}', '{vader_full}', '{vader_quick}'])",
]
METHODS = {
    "vader": GATED
    | {"full": 10, "lp_ft": 10, "adapters": 5}
    | OTHERS
    | dict.fromkeys(["adapters(places=pfeiffer)", "prefix", "prompt", "ia3"], 1)
    | dict.fromkeys(TEXTS_ONLY, 1),
    "fashion": dict.fromkeys(GATED, 3)
    | {"lora(targets='.*/kernel')": 1}
    | OTHERS
    | dict.fromkeys(IMAGES_ONLY, 1)
    | dict.fromkeys(NO_WARM_UP[:2], 3),
}
METHODS |= {
    "fashion dog_mobilenet_v2": {
        "full": 1,
        TRAINED_NORMS[0]: 1,
        "linear_probe(solver=lbfgs)": 1,
        "lora": 1,
    },
    "fashion hed_vgg16": {"linear_probe(solver=lbfgs)": 1},
    "fashion small_cnn": {"scratch": 1, "distill(teacher='{fashion_full}')": 1},
    "vader small_lstm": {"scratch": 2},
    "vader small_lstm on glove": {"full": 2},
    "vader minilm_l3": {"full": 2, "distill(teacher='{vader_full}')": 2},
    "vader minilm_static": {"full": 2, "distill(teacher='{vader_full}')": 2},
    "fashion digits": {"full": 1, "lwf": 1}
    | dict.fromkeys([TRAINED_NORMS[0], "lwf --norm=train --learning_rate=1e-3"], 1),
}
"""Task -> method -> number of seeds: several for methods on which a decision rests, one for a rough
value. All of them take less than four hours on two idle cores."""
