"""Pretrained networks without their heads, each as one flat graph with groups and taps."""

from tltf.backbones.building import build, rebuild, save_assets
from tltf.graphs.backbone import Backbone, Group

__all__ = ["Backbone", "Group", "build", "rebuild", "save_assets"]
