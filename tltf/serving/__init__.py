"""Serving a model: exports for a model server, and clients that ask one."""
