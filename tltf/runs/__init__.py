"""The run folder: lock, status, origin, checkpoints, model folder, metrics log; free of TensorFlow."""
