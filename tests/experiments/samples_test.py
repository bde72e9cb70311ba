"""Training examples as the network sees them."""

import html.parser
import re

import numpy as np
import pytest

from tltf import check
from tltf.config import call_strings
from tltf.config.catalogs import AUGMENTS
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import Column, ScanCounts, Source, one_label_field
from tltf.evaluation.report import examples
from tltf.experiments import samples
from tltf.runs import layout


def pictures(num_classes=3, each=6, labels=None):
    """Pictures of one grey each, from which the row can be told."""
    labels = np.arange(num_classes * each) % num_classes if labels is None else labels
    array = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones(
        (8, 8, 3), np.uint8
    )
    names = [f"class {n}" for n in range(num_classes)]
    ids = [f"row {n}" for n in range(len(labels))]
    fields = {"image": Column("array", array)}
    return Source("made", fields, one_label_field(labels, names), ids, None, ScanCounts())


def test_each_class_has_pictures_of_its_own_rows():
    source = pictures()
    groups = samples.draw(source, ImagePreprocessing(8), seed=3)
    assert [(group.name, group.num_examples) for group in groups] == [
        (f"class {n}", 6) for n in range(3)
    ]
    for label, group in enumerate(groups):
        assert len({sample.id for sample in group.samples}) == 4
        for sample in group.samples:
            row = int(sample.id.split()[1])
            assert (
                row % 3 == label and (sample.image == row).all() and sample.image.shape == (8, 8, 3)
            )
    again = samples.draw(source, ImagePreprocessing(8), seed=3)
    assert [s.id for g in again for s in g.samples] == [s.id for g in groups for s in g.samples]
    other = samples.draw(source, ImagePreprocessing(8), seed=4)
    assert [s.id for g in other for s in g.samples] != [s.id for g in groups for s in g.samples]


def test_pictures_are_resized_and_augmented_as_in_training():
    half = np.zeros((12, 8, 8, 3), np.uint8)
    half[:, :, :4] = 200
    source = pictures(1, 12)
    source.fields["image"] = Column("array", half)
    calls = call_strings.pick_each(AUGMENTS, "flip", "augment")
    numbers = source.with_labels(np.linspace(0, 1, 12, dtype=np.float32), ())
    (group,) = samples.draw(numbers, ImagePreprocessing(16), calls)
    assert {sample.image.shape for sample in group.samples} == {(16, 16, 3)}
    lefts = {int(sample.image[8, 1, 0]) for sample in group.samples}
    assert len(group.samples) == 12 and lefts == {0, 200}, "some are mirrored"


def test_many_classes_are_a_few_and_numbers_are_one_group():
    groups = samples.draw(pictures(40, 5), ImagePreprocessing(8))
    assert len(groups) == 12 and all(len(group.samples) == 4 for group in groups)
    numbers = pictures(1, labels=np.linspace(0, 1, 30, dtype=np.float32))
    numbers = numbers.with_labels(numbers.labels, ())
    (group,) = samples.draw(numbers, ImagePreprocessing(8))
    assert (group.name, group.num_examples, len(group.samples)) == ("", 30, 12)


def test_rows_with_several_labels_are_in_each_of_their_groups():
    labels = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], np.uint8)
    source = pictures(2, labels=np.zeros(4, int)).with_labels(labels, ("x", "y"))
    found = samples.draw(source, ImagePreprocessing(8))
    assert [{s.id for s in group.samples} for group in found] == [
        {"row 0", "row 1"},
        {"row 0", "row 3"},
    ]


def test_a_page_of_noise_is_small():
    """Noise is the worst case for the size of an encoded picture."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 200, 200, 3), np.uint8)
    source = pictures(12, 5)
    source.fields["image"] = Column("array", noise)
    groups = examples.shown_groups(samples.draw(source, ImagePreprocessing(200)))
    assert sum(len(s.picture) for group in groups for s in group.samples) < 400_000


class Texts(html.parser.HTMLParser):
    """The text of a page, and the attributes of its elements."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.names = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_check_writes_a_page_before_training(tmp_path, capsys):
    rows = [
        f"{'abcdefgh'[n % 8]} <b>day</b> {n} with more words than fit,{'yn'[n % 2]}"
        for n in range(40)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    flags = [f"--data=csv(path={tmp_path}/t.csv, text=text)", f"--output={tmp_path}/out"]
    assert check.main([*flags, "--backbone=small_lstm", "--text_length=4"]) == 0
    assert f"samples    {tmp_path}/out/{layout.SAMPLES}" in capsys.readouterr().out
    page = (tmp_path / "out" / layout.SAMPLES).read_text()
    read = Texts(page)
    assert "cut to 4 tokens" in page and page.count('class="unread"') == 8
    assert not {"script", "link", "b"} & set(read.names) and "b>day</b>" in "".join(read.texts)
    assert check.main(flags) == 0
    assert 'class="unread"' not in (tmp_path / "out" / layout.SAMPLES).read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--backbone=small_lstm"], "small_lstm takes texts, but the data has images"),
        (["--augment=eda"], "eda takes texts, the data has images"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(flags, words, tmp_path, capsys):
    data = ["--data=digits(num_train=40, num_test=20)", f"--output={tmp_path}/out"]
    assert check.main([*data, *flags]) == 2
    assert re.search(words, capsys.readouterr().err)
