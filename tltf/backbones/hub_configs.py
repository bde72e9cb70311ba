"""Arguments of KerasHub presets that can be built without the network, with random weights."""

from collections.abc import Sequence
from typing import Any


def _bert(
    vocabulary_size: int, num_layers: int, num_heads: int, hidden_dim: int
) -> tuple[str, dict[str, float]]:
    config = {
        "vocabulary_size": vocabulary_size,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "hidden_dim": hidden_dim,
        "intermediate_dim": 4 * hidden_dim,
        "dropout": 0.1,
        "max_sequence_length": 512,
        "num_segments": 2,
    }
    return "BertBackbone", config


def _resnet(num_blocks: Sequence[int], block_type: str) -> tuple[str, dict[str, Any]]:
    config = {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_blocks": num_blocks,
        "stackwise_num_strides": [1, 2, 2, 2],
        "block_type": block_type,
        "use_pre_activation": False,
        "image_shape": [None, None, 3],
    }
    return "ResNetBackbone", config


def _dinov2(num_layers: int, num_heads: int, hidden_dim: int) -> tuple[str, dict[str, Any]]:
    config = {
        "patch_size": 14,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "hidden_dim": hidden_dim,
        "intermediate_dim": 4 * hidden_dim,
        "image_shape": [518, 518, 3],
        "position_embedding_shape": [518, 518, 3],
    }
    return "DINOV2Backbone", config


CONFIGS = {
    "bert_tiny_en_uncased": _bert(30522, 2, 2, 128),
    "bert_base_en_uncased": _bert(30522, 12, 12, 768),
    "bert_base_en": _bert(28996, 12, 12, 768),
    "dinov2_small": _dinov2(12, 6, 384),
    "dinov2_base": _dinov2(12, 12, 768),
    "resnet_18_imagenet": _resnet([2, 2, 2, 2], "basic_block"),
    "resnet_50_imagenet": _resnet([3, 4, 6, 3], "bottleneck_block"),
    "resnet_101_imagenet": _resnet([3, 4, 23, 3], "bottleneck_block"),
    "resnet_152_imagenet": _resnet([3, 8, 36, 3], "bottleneck_block"),
}
"""Name -> (class in keras_hub.models, arguments); networks for images take SCALINGS["torch"]."""
