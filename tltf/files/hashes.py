"""SHA-256 of files."""

import hashlib
import pathlib


def sha256_of_file(path: pathlib.Path) -> str:
    """The SHA-256 of a file's content, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
