"""Ensembles of finished runs: candidates, how they are combined, and the run that holds them."""
