"""--format: what a model is exported as, and its check."""
