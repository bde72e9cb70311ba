"""Measures what the scan of a folder of photographs costs, beside decoding the photographs.

    python tools/bench_scan.py [--num=20000] [--texts=100000] [--scan_only] [--rounds=3]
        [--folder=runs/bench_scan]

The files are crops of the photographs of scikit-learn and scikit-image, 500 x 375 pixels, JPEG at
quality 85, in ten class folders; they are written once and kept. A round decodes all of them once
whole and once as training does at 224 pixels, scans them as `tltf.train` does before its first
step, and looks for near duplicates as `tltf.check` does. All of this happens in one process, with
files that were read before. The script prints medians of seconds and of the paired ratios to
decoding twice. It also scans a CSV file of --texts texts. With --scan_only it measures the scans
only, to compare two versions of tltf.
"""

import argparse
import pathlib
import statistics
import time

import measuring
import numpy as np
import skimage.data
import sklearn.datasets
import tensorflow as tf
from PIL import Image, ImageEnhance

from tltf.data import loader, near_duplicates
from tltf.data.images import preprocessing

SIZE, NUM_CLASSES = (500, 375), 10
HEADER = ["work", "seconds", "share of decoding whole twice", "share of decoding for 224 px twice"]


def write(folder, num):
    """Writes crops that a seed decides; a folder that already has `num` files is complete."""
    if sum(1 for _ in folder.glob("*/*.jpg")) == num:
        return
    arrays = [
        *sklearn.datasets.load_sample_images().images,
        skimage.data.astronaut(),
        skimage.data.coffee(),
        skimage.data.chelsea(),
        skimage.data.rocket(),
    ]
    photos, rng = [Image.fromarray(array) for array in arrays], np.random.default_rng(0)
    for number in range(num):
        photo = photos[number % len(photos)]
        scale = rng.uniform(0.3, 0.9)
        width, height = (int(scale * side) for side in photo.size)
        left, top = (
            int(rng.uniform(0, a - b)) for a, b in zip(photo.size, (width, height), strict=True)
        )
        path = folder / f"class_{number % NUM_CLASSES}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        crop = photo.crop((left, top, left + width, top + height)).resize(SIZE)
        # Some of so many large crops are equal, so each gets a brightness of its own.
        ImageEnhance.Brightness(crop).enhance(rng.uniform(0.6, 1.4)).save(path, quality=85)


def seconds(function):
    """`(seconds, result)` of a call."""
    start = time.monotonic()
    result = function()
    return time.monotonic() - start, result


def decode(paths, prepare):
    """Decodes every file in parallel."""
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = dataset.map(
        lambda path: tf.reduce_sum(tf.cast(prepare(tf.io.read_file(path)), tf.float32)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return dataset.reduce(0.0, lambda total, value: total + value).numpy()


def write_texts(path, num):
    """Writes a CSV file of texts of 5 to 59 words in ten classes; one text in ten has quotes."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(5000)])
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("text,label\n")
        for number in range(num):
            text = " ".join(rng.choice(words, rng.integers(5, 60)))
            file.write(f'"{text}, quoted"' if number % 10 == 0 else text)
            file.write(f",class_{number % NUM_CLASSES}\n")


def print_scans(chosen, folder):
    """Prints a table of the seconds of each scan."""
    table = folder / f"{chosen.texts}.csv"
    if not table.exists():
        write_texts(table, chosen.texts)
    calls = {
        f"scan of {chosen.num:,} images": f"image_folder(path='{folder / str(chosen.num)}')",
        f"scan of {chosen.texts:,} texts": f"csv(path='{table}', text=text, label=label)",
    }
    lines = []
    for name, call in calls.items():
        times = [seconds(lambda call=call: loader.load(call))[0] for _ in range(chosen.rounds)]
        lines.append([name, f"{statistics.median(times):.2f}", " ".join(f"{s:.2f}" for s in times)])
    print(measuring.table(["work", "median seconds", "each"], lines))


def main():
    """Measures all rounds and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=20_000, help="number of images")
    parser.add_argument("--texts", type=int, default=100_000, help="number of texts")
    parser.add_argument("--scan_only", action="store_true", help="measure the scans only")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds")
    parser.add_argument(
        "--folder", default=str(measuring.ROOT / "runs" / "bench_scan"), help="folder of the files"
    )
    chosen = parser.parse_args()
    folder = pathlib.Path(chosen.folder) / str(chosen.num)
    write(folder, chosen.num)
    print_scans(chosen, folder.parent)
    if chosen.scan_only:
        return
    paths = sorted(map(str, folder.glob("*/*.jpg")))
    prepared, rounds = preprocessing.ImagePreprocessing(224), []
    for _ in range(chosen.rounds):
        row = {
            "decoding whole": seconds(lambda: decode(paths, prepared.decode))[0],
            "decoding for 224 px": seconds(lambda: decode(paths, prepared))[0],
        }
        row["scan"], source = seconds(lambda: loader.load(f"image_folder(path='{folder}')"))
        row["near duplicates"], pairs = seconds(
            lambda source=source: near_duplicates.find_pairs(source)
        )
        row["scan and near duplicates"] = row["scan"] + row["near duplicates"]
        rounds.append(row)
    lines = [
        [
            work,
            f"{statistics.median(row[work] for row in rounds):.1f}",
            *(
                f"{statistics.median(row[work] / row[other] / 2 for row in rounds):.2f}"
                for other in ("decoding whole", "decoding for 224 px")
            ),
        ]
        for work in rounds[0]
    ]
    print(f"{len(source):,} files, {len(pairs):,} near pairs, {chosen.rounds} rounds\n")
    print(measuring.table(HEADER, lines))


if __name__ == "__main__":
    main()
