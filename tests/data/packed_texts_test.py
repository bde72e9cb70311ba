import numpy as np
import pytest

from tltf.data import packed_texts
from tltf.data.packed_texts import AT_ONCE, RowIds, TextPacker

TEXTS = ["", "one", "zwei ß", "三\n", "\ud83d half", "x" * 500]


def packed(texts):
    packer = TextPacker()
    for text in texts[: len(texts) // 2]:
        packer.append(text)
    rest = [text.encode("utf-8", "surrogatepass") for text in texts[len(texts) // 2 :]]
    packer.extend(b"".join(rest), np.array(list(map(len, rest))))
    return packer.texts()


@pytest.mark.parametrize("count", [0, 1, 6, 2 * AT_ONCE + 3])
def test_packed_texts_are_a_sequence_of_the_same_texts(count):
    texts = [TEXTS[number % len(TEXTS)] for number in range(count)]
    ours = packed(texts)
    assert list(ours) == texts
    assert ours == texts and len(ours) == count
    assert [ours[row] for row in range(-count, count)] == texts + texts
    assert ours[1:4] == texts[1:4]
    rows = np.arange(count)[::-2]
    assert list(packed_texts.take(ours, rows)) == texts[::-2]
    with pytest.raises(IndexError):
        ours[count]


def test_ids_and_their_places():
    ids = RowIds(("a.csv", "b.csv"), np.array([0, 0, 1, 1], np.int32), np.array([2, 9, 2, 7]))
    names = ["a.csv:2", "a.csv:9", "b.csv:2", "b.csv:7"]
    assert ids == names and ids != names[:3] and ids != [*names[:3], "b.csv:8"]
    some, other = ids.take(np.array([3, 0])), ["b.csv:7", "c.csv:1", "a.csv:2"]
    assert packed_texts.find_places(ids, some).tolist() == [3, 0]
    assert packed_texts.find_places(some, ids).tolist() == [1, -1, -1, 0]
    assert packed_texts.find_places(ids, other).tolist() == [3, -1, 0]
    assert packed_texts.find_places(names, names[::-1]).tolist() == [3, 2, 1, 0]
