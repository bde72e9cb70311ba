"""What serves a model: exports, a client."""
