"""Keras graphs: replay, freezing, the frozen prefix, folding, layers put into others, the core."""
