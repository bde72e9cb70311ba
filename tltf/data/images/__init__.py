"""Images: their files, structure, decoding and conversion."""
