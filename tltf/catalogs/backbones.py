"""BACKBONES: pretrained networks without their old heads."""

BACKBONES = {}
