"""Transfer methods, a small file a family."""
