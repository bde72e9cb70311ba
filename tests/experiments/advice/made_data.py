"""Made-up data sets on which advice is tested, and networks that are tiny."""

import pathlib

import numpy as np

NETWORKS = "small_cnn(filters=[4, 6])|small_cnn(filters=[4])"


def write_pictures(folder: pathlib.Path, num: int = 180) -> str:
    """The call string of pictures of three classes that differ in brightness, beside much noise."""
    random, labels = np.random.default_rng(0), np.arange(num) % 3
    noise = random.uniform(0, 140, (num, 1, 1, 1)) + random.uniform(0, 40, (num, 8, 8, 1))
    pictures = (noise + 35 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(folder / "data.npz", x=pictures, y=labels)
    return f"numpy(path={folder}/data.npz)"


def write_texts(folder: pathlib.Path, num: int = 160) -> str:
    """The call string of texts of two classes that differ in a word."""
    rows = [
        f"number {n} was {'good' if n % 2 else 'bad'},{'yes' if n % 2 else 'no'}"
        for n in range(num)
    ]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]))
    return f"csv(path={folder}/texts.csv, text=text, label=label)"
