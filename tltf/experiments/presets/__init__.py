"""Presets: advice, a few trials and perhaps an ensemble within a budget, as one run."""
