"""QUERIES: the strategies by which tltf.label chooses the rows that a person labels next."""

from tltf.config.catalogs.row import Row

QUERIES = {
    "random": Row(
        "tltf.active_learning.uncertainty:random",
        {},
        "rows drawn by chance, which every other strategy has to beat",
    ),
    "margin": Row(
        "tltf.active_learning.uncertainty:margin",
        {},
        "rows whose two most probable classes are nearest to each other",
        paper="Scheffer et al. 2001, IDA",
    ),
    "entropy": Row(
        "tltf.active_learning.uncertainty:entropy",
        {},
        "rows whose probabilities have the largest entropy",
        paper="Settles 2009, eq. 3",
    ),
    "badge": Row(
        "tltf.active_learning.diversity:badge",
        {},
        "uncertain and diverse rows: k-means++ on the gradients of the last layer",
        paper="Ash et al. 2020, arXiv:1906.03671",
    ),
    "coreset": Row(
        "tltf.active_learning.diversity:coreset",
        {},
        "rows far from all labelled ones: the greedy k-centre core set",
        paper="Sener & Savarese 2018, arXiv:1708.00489",
    ),
    "typiclust": Row(
        "tltf.active_learning.diversity:typiclust",
        {"most_clusters": 500, "least_size": 5, "neighbors": 20},
        "the most typical row of each of the largest clusters without a label; needs no head",
        paper="Hacohen et al. 2022, arXiv:2202.02794",
    ),
}
