"""Keras graphs: replay, freezing, the frozen prefix, folding, changed layers, the core."""
