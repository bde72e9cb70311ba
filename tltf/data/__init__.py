"""Data parts: from a call string of --data to splits and batches."""
