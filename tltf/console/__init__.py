"""A command's shell: exit codes, progress, signals, streams; free of TensorFlow."""
