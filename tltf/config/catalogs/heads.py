"""HEADS: the layers on the backbone's features, which predict the labels."""

from tltf.config.catalogs.row import HeadRow

HEADS = {
    "classify": HeadRow(
        "tltf.heads.classify:classify",
        {"pooling": "auto", "hidden": (), "activation": "relu", "dropout": 0.0, "features": ()},
        "one class of several; pooling=auto|average|max|flatten|first|pooled, hidden=[256, 64] adds layers",
        kind="class",
    ),
    "ordinal": HeadRow(
        "tltf.heads.ordinal:ordinal",
        {
            "pooling": "auto",
            "hidden": (),
            "activation": "relu",
            "dropout": 0.0,
            "features": (),
            "order": (),
        },
        "one of several classes with an order, such as order=[bad, fair, good]; other arguments as classify",
        paper="Cao et al. 2020, arXiv:1901.07884",
        kind="class",
        orders_classes=True,
    ),
    "multi_label": HeadRow(
        "tltf.heads.multi_label:multi_label",
        {
            "pooling": "auto",
            "hidden": (),
            "activation": "relu",
            "dropout": 0.0,
            "features": (),
            "thresholds": (),
        },
        "any number of labels, by thresholds that validation chooses; other arguments as classify",
        paper="Yang 2001, SIGIR",
        kind="labels",
    ),
    "regress": HeadRow(
        "tltf.heads.regress:regress",
        {
            "pooling": "auto",
            "hidden": (),
            "activation": "relu",
            "dropout": 0.0,
            "features": (),
            "quantiles": (0.05, 0.5, 0.95),
            "center": None,
            "scale": None,
            "margin": None,
        },
        "a number, with its quantiles=[.05, .5, .95]; other arguments as classify",
        paper="Koenker & Bassett 1978, Econometrica 46",
        kind="number",
    ),
    "multi_regress": HeadRow(
        "tltf.heads.multi_regress:multi_regress",
        {
            "pooling": "auto",
            "hidden": (),
            "activation": "relu",
            "dropout": 0.0,
            "features": (),
            "quantiles": (0.05, 0.5, 0.95),
            "center": (),
            "scale": (),
            "margin": (),
        },
        "several numbers, as of label=height|width, with quantiles of each; regress becomes it by itself",
        paper="Koenker & Bassett 1978, Econometrica 46",
        kind="numbers",
    ),
}
