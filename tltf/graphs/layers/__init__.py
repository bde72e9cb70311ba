"""What is trained in place of a layer's own weights, put into layers that are built."""
