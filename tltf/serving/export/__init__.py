"""--format: the formats in which a model is exported, and the check of an export."""
