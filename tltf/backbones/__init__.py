"""--backbone: pretrained networks without their heads, each as one flat graph with groups and taps."""
