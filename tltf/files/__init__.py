"""Whole files and folders, files of strangers, archives, package assets; free of TensorFlow."""
