"""Many trials of a run with other flags, of which the one that is best on validation is kept."""
