"""ABSTENTIONS: the rules by which a model says that it is not sure of a class."""

from tltf.config.catalogs.row import Row

ABSTENTIONS = {
    "coverage": Row(
        "tltf.heads.abstention:coverage",
        {"share": 0.9},
        "answers this share of the examples, those with the highest probabilities",
    ),
    "accuracy": Row(
        "tltf.heads.abstention:accuracy",
        {"least": 0.95, "confidence": 0.95},
        "answers as many examples as it can while this share of the answers is right",
        paper="Geifman & El-Yaniv 2017, arXiv:1705.08500",
    ),
    "conformal": Row(
        "tltf.heads.abstention:conformal",
        {"error": 0.1},
        "answers where a set that lacks the true class at most this often has a single class",
        paper="Sadinle et al. 2019, arXiv:1609.00451",
    ),
}
