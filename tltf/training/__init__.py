"""One fit: assemble, feed, fit, resume."""
