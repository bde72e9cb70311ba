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
    "scratch": Row(
        "tltf.methods.freezing:scratch",
        {},
        "train everything from random weights: the baseline that transfer must beat",
        paper="Kornblith et al. 2018, arXiv:1805.08974",
    ),
}
