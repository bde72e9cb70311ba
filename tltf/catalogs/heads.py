"""HEADS: what stands on the backbone's features."""

from tltf.catalogs.row import Row

HEADS = {
    "classify": Row(
        "tltf.heads:classify",
        {"pooling": "auto", "hidden": (), "activation": "relu", "dropout": 0.0, "features": ()},
        "one class of several; pooling auto|average|max|flatten|first|pooled, hidden=[256, 64]",
    ),
    "ordinal": Row(
        "tltf.ordinal:ordinal",
        {
            "pooling": "auto",
            "hidden": (),
            "activation": "relu",
            "dropout": 0.0,
            "features": (),
            "order": (),
        },
        "one of several classes that have an order, order=[bad, fair, good]; others as classify",
        paper="Cao et al. 2020, arXiv:1901.07884",
    ),
}
