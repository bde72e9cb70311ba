"""Whole runs: one training with its report, one per fold, and the evaluation of a finished run."""
