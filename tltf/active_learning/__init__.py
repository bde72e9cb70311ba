"""Active learning: which rows of an unlabelled pool a person should label next, and the labels given."""
