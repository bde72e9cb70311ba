"""The scan on its own: what it prints and writes, and what counts as nearly the same."""

import dataclasses
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from tests.faults.making import bounded_memory
from tltf import check
from tltf.data import near_duplicate_groups, near_duplicates
from tltf.data.source import Column, ScanCounts, Source


def source(kind, values):
    modality = "text" if kind == "text" else "image"
    ids = [str(row) for row in range(len(values))]
    return Source("made", {modality: Column(kind, values)}, {}, ids, None, ScanCounts(len(ids)))


def encoded(image, format_name, **settings):
    buffer = io.BytesIO()
    image.save(buffer, format_name, **settings)
    return buffer.getvalue()


@pytest.fixture(name="photos", scope="module")
def _photos():
    """80 parts of two photographs, none overlapping another."""
    images = [Image.fromarray(picture) for picture in datasets.load_sample_images().images]
    boxes = [(x, y, x + 80, y + 80) for x in range(0, 640, 80) for y in range(0, 400, 80)]
    return [image.crop(box) for image in images for box in boxes]


@pytest.mark.parametrize(("scale", "quality"), [(1, 40), (2, 70), (0.6, 80)])
def test_pictures_that_were_saved_again_are_found_and_others_are_not(photos, scale, quality):
    size = (round(80 * scale),) * 2
    again = [
        encoded(photo.resize(size, Image.BICUBIC), "JPEG", quality=quality) for photo in photos
    ]
    found = near_duplicates.find_pairs(
        source("bytes", [encoded(photo, "PNG") for photo in photos] + again)
    )
    right = {(row, row + len(photos)) for row in range(len(photos))}
    contrasts = [np.ptp(np.asarray(photo.convert("L").resize((24, 24)), int)) for photo in photos]
    seen = {pair for pair in right if contrasts[pair[0]] > 40}
    assert len(seen) > 50 and len(seen & set(found)) >= 0.85 * len(seen)
    wrong = [pair for pair in found if (pair[0] - pair[1]) % len(photos)]
    assert len(wrong) <= 0.05 * len(photos)


def test_arrays_and_paths_are_read_alike(photos, tmp_path):
    pictures = np.stack([np.asarray(photo) for photo in photos])
    paths = []
    for row, photo in enumerate(photos):
        paths.append(str(tmp_path / f"{row}.png"))
        photo.save(paths[-1])
    arrays = near_duplicates._hash_images(Column("array", pictures))[0]
    files = near_duplicates._hash_images(Column("path", paths))[0]
    np.testing.assert_array_equal(arrays, files)


def test_texts_with_other_commas_are_near_and_others_are_not():
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in range(300)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(200)]
    changed = [text.replace(" ", ", ", 3).upper() + "!" for text in texts]
    found = near_duplicates.find_pairs(source("text", texts + changed))
    assert found == [(row, row + 200) for row in range(200)]
    assert near_duplicates.find_pairs(source("text", ["good film", "good film!"])) == [], (
        "too short to tell"
    )
    assert near_duplicates.find_pairs(source("text", [texts[0], texts[0]])) == [], (
        "the same is not near"
    )


@pytest.mark.parametrize("count", [40, 60, 200])
@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_rows_that_are_all_alike_are_linked_to_one_however_many(photos, kind, count):
    words = [f"word{number}" for number in range(40)]
    texts = [" ".join(words) + "!" * number for number in range(count)]
    pictures = [np.asarray(photos[-1]).copy() for _ in range(count)]
    for number, pixels in enumerate(pictures):
        pixels[0, number % 80] ^= 1 + number // 80
    values = texts if kind == "text" else [encoded(Image.fromarray(one), "PNG") for one in pictures]
    assert near_duplicates.find_pairs(source(kind, values)) == [(0, row) for row in range(1, count)]


def test_a_group_in_two_splits_is_told_once_in_each(tmp_path):
    words = " ".join(f"word{number}" for number in range(40))
    rows = source("text", [words + "!" * number for number in range(300)])
    parts = {"train": rows.take(range(0, 300, 2)), "test": rows.take(range(1, 300, 2))}
    scan = near_duplicates.find_near_duplicates(rows, parts)
    told = [row["reason"] for row in scan.near_rows]
    assert len(told) == 299 + 298, "to the first row of its own split, and of the other one"
    across = ["(both " not in reason for reason in told]
    assert across == sorted(across, reverse=True) and sum(across) > 149
    assert f"{sum(across)} pairs of rows in different splits are" in scan.warnings[0]
    assert near_duplicates.is_near_others(parts["test"], scan).all()


def test_rows_that_are_near_another_split_are_found_whichever_comes_first():
    words = " ".join(f"word{number}" for number in range(40))
    other = " ".join(f"other{number}" for number in range(40))
    rows = source("text", [words, words + "!", words + "?", other, other + "!", "a b c d e f g"])
    parts = {"test": rows.take([0, 2, 3, 4]), "train": rows.take([1, 5])}
    scan = near_duplicates.find_near_duplicates(rows, parts)
    assert near_duplicates.is_near_others(parts["test"], scan).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert near_duplicates.is_near_others(parts["train"], scan).tolist() == [True, False]
    pair = near_duplicates.find_near_duplicates(
        rows, {"test": rows.take([0]), "train": rows.take([1])}
    )
    assert pair.warnings[0].startswith("1 pair of rows in different splits is nearly the same")


def hashes_in_clusters(count, seed):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, 8, np.uint64)[rng.integers(0, 8, count)]
    for _ in range(3):
        bits = np.uint64(1) << rng.integers(0, 64, count).astype(np.uint64)
        hashes ^= np.where(rng.random(count) < 0.7, bits, np.uint64(0))
    return hashes


@pytest.mark.parametrize(("few", "at_once"), [(16, 512), (1000, 1000), (1, 1000), (2, 4)])
def test_links_against_all_pairs(monkeypatch, few, at_once):
    monkeypatch.setattr(near_duplicate_groups, "FEW", few)
    monkeypatch.setattr(near_duplicate_groups, "AT_ONCE", at_once)
    hashes, rng = hashes_in_clusters(400, 1), np.random.default_rng(2)
    roles = rng.integers(0, 3, 400).astype(np.int8)
    is_alike = rng.random((400, 400)) < 0.5
    is_alike |= is_alike.T
    bits = np.unpackbits((hashes[:, None] ^ hashes).view(np.uint8).reshape(400, 400, 8), axis=2)
    is_near = (bits.sum(axis=2) <= 3) & is_alike & ~np.eye(400, dtype=bool)
    found = near_duplicate_groups.Links(hashes, roles, lambda rows, others: is_alike[rows, others])
    found.add_links(np.arange(400))
    assert all(is_near[pair] for pair in found.pairs()) and found.num_left == 0
    told = set(sum(found.pairs(), ()))
    assert told == set(np.flatnonzero(is_near.any(axis=1)).tolist()) and len(told) > 300
    first = {
        tuple(sorted((row, int(np.flatnonzero(is_near[row] & (roles == role))[0]))))
        for row in range(400)
        for role in range(3)
        if (is_near[row] & (roles == role)).any()
    }
    assert at_once == 4 or set(found.pairs()) == first


def test_what_was_not_compared_is_said(monkeypatch):
    monkeypatch.setattr(near_duplicate_groups, "FEW", 2)
    monkeypatch.setattr(near_duplicate_groups, "AT_ONCE", 8)
    monkeypatch.setattr(near_duplicate_groups, "MOST_CONFIRMED", 100)
    rows = source("text", [f"a frame of so many words and number {n}" for n in range(40)])
    never = (
        np.ones(40, np.uint64),
        np.ones(40, bool),
        lambda rows, others: np.zeros(len(rows), bool),
    )
    monkeypatch.setattr(near_duplicates, "_hash_texts", lambda column: never)
    scan = near_duplicates.find_near_duplicates(rows, {"train": rows})
    assert scan.near_rows == [] and "37 rows look like so many others" in scan.warnings[0]


@pytest.mark.large
def test_near_pictures_of_many_rows_take_0_6_kilobytes_each():
    count = 200_000

    class Pictures:
        shape = (count, 8, 8, 1)

        def __len__(self):
            return count

        def __getitem__(self, row):
            return np.random.default_rng(row).integers(0, 256, (8, 8, 1), np.uint8)

    rows = source("array", Pictures())
    rows = dataclasses.replace(rows, hashes=np.arange(count, dtype=np.uint64))
    with bounded_memory(1000 * count / 2**20):
        assert len(near_duplicates.find_pairs(rows)) < count / 1000


def table(folder, lines):
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return f"--data=csv(path={folder}/t.csv, text=text, label=label)"


LONG = "one two three four five six seven eight {}"


def test_a_person_reads_what_is_in_the_data(tmp_path, capsys):
    rows = [f"{LONG.format(n)} {n * n},{'ab'[n % 2]}" for n in range(40)]
    rows += ["short,a", "short,a", ",b", "alone,b,too many"]
    data = table(tmp_path, ["text,label", *rows])
    assert check.main([data, "--max_bad_fraction=.1", f"--output={tmp_path}/out"]) == 0
    said = capsys.readouterr().out
    assert "rows       44 found = 42 used + 2 skipped + 0 excluded" in said
    assert "classes    2, " in said and "█" in said
    assert "skipped    2 rows cannot be used:" in said and "t.csv:44: text is blank" in said
    report = [json.loads(line) for line in (tmp_path / "out/data_report.jsonl").open()]
    assert {row["what"] for row in report} >= {"skipped"} and len(report) >= 2


def test_labels_numbers_and_uneven_classes(tmp_path, capsys):
    data = table(tmp_path, ["text,label", *[f"text {n},{n / 7}" for n in range(30)]])
    assert check.main([data, "--head=regress"]) == 0
    assert "numbers    " in capsys.readouterr().out
    tags = ["", "x", "x|y", "y"] * 10
    data = table(tmp_path, ["text,label", *[f"text {n},{tag}" for n, tag in enumerate(tags)]])
    assert check.main([data, "--head=multi_label"]) == 0
    assert "labels     2, " in capsys.readouterr().out
    uneven = [f"text {n},{'rare' if n == 0 else 'usual'}" for n in range(200)]
    assert check.main([table(tmp_path, ["text,label", *uneven])]) == 0
    said = capsys.readouterr().out
    assert "times as many rows as rare" in said and "rare has one training row" in said
    assert "--class_weights=balanced" in said
    assert check.main([table(tmp_path, ["text,label", *uneven]), "--head=multi_label"]) == 0
    said = capsys.readouterr().out
    assert "times as many rows as rare" in said and "--class_weights" not in said, "it has none"


def test_near_rows_across_splits_come_first(tmp_path, capsys):
    rows = [f"{LONG.format(n * 7919)} {n} and so on,{'ab'[n % 2]}" for n in range(40)]
    rows += [row.replace(" ", " - ", 2).replace(",", "!,") for row in rows]
    assert check.main([table(tmp_path, ["text,label", *rows])]) == 0
    said = capsys.readouterr().out
    assert "near       " in said
    first = said.split("near       ")[1].splitlines()[1]
    assert " and " in first.rpartition("(")[2], "two splits"
    assert check.main([table(tmp_path, ["text,label", *rows]), "--nonear_duplicates"]) == 0
    assert "near  " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        ([], 2),
        (["--data=nothing"], 2),
        (["--data=csv(path=/nowhere.csv, text=t)"], 2),
        (["--data=digits", "--split=holdout(test=2)"], 2),
        (["--data=digits", "--head=none"], 2),
    ],
)
def test_what_cannot_be_scanned_is_one_line(argv, code, capsys):
    assert check.main(argv) == code
    said = capsys.readouterr().err
    assert said.startswith("tltf: error[2]") and said.count("\n") == 1


def test_rows_in_no_split_are_left_out_of_pairs(photos):
    pictures = source("bytes", [encoded(photo, "PNG") for photo in photos[:4]])
    assert near_duplicates.find_pairs(dataclasses.replace(pictures)) == []


def test_a_table_of_texts_is_checked_without_tensorflow(tmp_path):
    """Its import takes longer than the scan of a hundred thousand texts."""
    rows = "".join(f"text {n} of a few words,{'ab'[n % 2]}\n" for n in range(40))
    (tmp_path / "a.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    code = (
        "import sys; from tltf import check; "
        f"code = check.main(['--data=csv(path={tmp_path}/a.csv, text=text, label=label)']); "
        "sys.exit(code or 'tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
