"""Pictures: files, structure, decoding, conversion."""
