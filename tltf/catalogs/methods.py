"""METHODS: how the weights of the core are trained."""

from tltf.catalogs.row import Row

METHODS = {
    "linear_probe": Row(
        "tltf.methods.freezing:linear_probe",
        {"solver": "gradient"},
        "train the new head only; solver=lbfgs solves for it and chooses an L2 penalty on validation",
        paper="Alain & Bengio 2016, arXiv:1610.01644",
    ),
    "partial": Row(
        "tltf.methods.freezing:partial",
        {"last_groups": 2},
        "train the head and the last groups of the backbone",
        paper="Yosinski et al. 2014, arXiv:1411.1792",
    ),
    "full": Row(
        "tltf.methods.freezing:full",
        {"backbone_rate": 1.0},
        "train everything from the pretrained weights; backbone_rate scales the backbone's rate",
        paper="Yosinski et al. 2014, arXiv:1411.1792",
    ),
    "lp_ft": Row(
        "tltf.methods.schedules:lp_ft",
        {"solver": "lbfgs", "probe_share": 0.3, "probe_rate": 10.0, "backbone_rate": 1.0},
        "solve for the head on frozen features, then train everything from there",
        paper="Kumar et al. 2022, arXiv:2202.10054",
    ),
    "discriminative": Row(
        "tltf.methods.schedules:discriminative",
        {"decay": 2.6},
        "train everything, each group of layers slower by a factor than the one above it",
        paper="Howard & Ruder 2018, arXiv:1801.06146",
    ),
    "gradual": Row(
        "tltf.methods.schedules:gradual",
        {"stages": 4, "decay": 2.6},
        "train the head, then in each stage more groups from the top, at falling rates",
        paper="Howard & Ruder 2018, arXiv:1801.06146",
    ),
    "curriculum": Row(
        "tltf.methods.schedules:curriculum",
        {"stages": 3, "start_share": 0.3, "solver": "lbfgs"},
        "solve for the head, then train everything on the easiest rows first, in growing parts",
        paper="Hacohen & Weinshall 2019, arXiv:1904.03626",
    ),
    "bitfit": Row(
        "tltf.methods.subsets:bitfit",
        {},
        "train the head and all biases",
        paper="Ben Zaken et al. 2021, arXiv:2106.10199",
    ),
    "norm_only": Row(
        "tltf.methods.subsets:norm_only",
        {},
        "train the head and the scales and shifts of normalisations",
        paper="Frankle et al. 2020, arXiv:2003.00152",
    ),
    "rules": Row(
        "tltf.methods.subsets:rules",
        {"patterns": ("head/.*",), "rates": ()},
        "train what patterns of <group>/<variable> name, each at its rate; first match decides",
    ),
    "lora": Row(
        "tltf.methods.lora:lora",
        {"rank": 8, "alpha": 16.0, "targets": "auto", "rslora": False},
        "train the head and low-rank updates of kernels, merged into them at the end",
        paper="Hu et al. 2021, arXiv:2106.09685",
    ),
    "adapters": Row(
        "tltf.methods.additive:adapters",
        {"size": 32, "places": "houlsby", "targets": "auto", "layer_norms": True},
        "train the head and bottlenecks behind the blocks' projections; places houlsby or pfeiffer",
        paper="Houlsby et al. 2019, arXiv:1902.00751",
    ),
    "prefix": Row(
        "tltf.methods.additive:prefix",
        {"length": 16},
        "train the head and keys and values before those of the sequence, in every attention",
        paper="Li & Liang 2021, arXiv:2101.00190",
    ),
    "prompt": Row(
        "tltf.methods.additive:prompt",
        {"length": 16},
        "train the head and vectors before the embedded tokens",
        paper="Lester et al. 2021, arXiv:2104.08691",
    ),
    "ia3": Row(
        "tltf.methods.additive:ia3",
        {},
        "train the head and factors on keys, values and feed-forward layers, merged at the end",
        paper="Liu et al. 2022, arXiv:2205.05638",
    ),
    "l2_sp": Row(
        "tltf.methods.staying:l2_sp",
        {"alpha": 0.1, "beta": 0.01},
        "train everything; the loss holds the backbone near its pretrained weights",
        paper="Li et al. 2018, arXiv:1802.01483",
    ),
    "wise_ft": Row(
        "tltf.methods.staying:wise_ft",
        {"steps": 10, "solver": "lbfgs"},
        "lp_ft, then the best point on validation between its probe and its end",
        paper="Wortsman et al. 2021, arXiv:2109.01903",
    ),
    "bss": Row(
        "tltf.methods.features:bss",
        {"eta": 0.001, "smallest": 1},
        "train everything; the loss shrinks the smallest singular values of a batch's features",
        paper="Chen et al. 2019, NeurIPS",
    ),
    "delta": Row(
        "tltf.methods.features:delta",
        {"alpha": 0.0001, "beta": 0.01, "features": ()},
        "train everything; the loss holds feature maps near those of the pretrained network",
        paper="Li et al. 2019, arXiv:1901.09229",
    ),
    "lwf": Row(
        "tltf.methods.teaching:lwf",
        {
            "temperature": 2.0,
            "weight": 1.0,
            "backbone_rate": 1.0,
            "warmup_share": 0.3,
            "warmup_rate": 10.0,
        },
        "continue a run on other classes; its old head must say what it said",
        paper="Li & Hoiem 2016, arXiv:1606.09282",
    ),
    "distill": Row(
        "tltf.methods.teaching:distill",
        {
            "teacher": "",
            "temperature": 2.0,
            "weight": 0.7,
            "feature_weight": 0.0,
            "backbone_rate": 1.0,
        },
        "train everything on the targets and on what a teacher, another run, says of them",
        paper="Hinton et al. 2015, arXiv:1503.02531",
        paths=("teacher",),
    ),
    "adversarial": Row(
        "tltf.methods.adversarial:adversarial",
        {"epsilon": 0.0, "steps": 1, "share": 0.5},
        "train everything on each batch and on the worst near it; steps=1 is FGSM, more are PGD",
        paper="Goodfellow et al. 2014, arXiv:1412.6572",
    ),
    "soup": Row(
        "tltf.methods.soups:soup",
        {"runs": (), "greedy": True},
        "train nothing: average the weights of runs, each kept if validation is no worse with it",
        paper="Wortsman et al. 2022, arXiv:2203.05482",
        paths=("runs",),
    ),
    "scratch": Row(
        "tltf.methods.freezing:scratch",
        {},
        "train everything from random weights: the baseline that transfer must beat",
        paper="Kornblith et al. 2018, arXiv:1805.08974",
    ),
}
