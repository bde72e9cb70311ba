"""What the user says: options, flag files, call strings, catalogs, checks; free of TensorFlow."""
