"""A tokenizer of whole words, for vectors of words: GloVe's, with its own way to cut texts.

It cuts as the texts were cut that GloVe was trained on (the Penn Treebank's rules): `didn't` is
`did n't`, and punctuation stands apart, except where the vocabulary has the whole piece, such as
`u.s.`, `3.5` or `well-known`. Only operators of TensorFlow's core are used.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tltf.errors import ModelError
from tltf.files import atomic_files

PAD, UNKNOWN = "[PAD]", "[UNK]"
"""The first two tokens: nothing, and a word that the vocabulary does not have."""
_FILE = "vocabulary.txt"
_MARK = "\ue000"
"""Stands for the apostrophe of an ending while other punctuation is set apart."""
_QUOTES = (("[\u2018\u2019\u00b4`]", "'"), ("[\u201c\u201d]", '"'))
_APART = (r"[^\pL\pM\pN\s.,'\-]", r" \0 ")
"""Punctuation that no piece of the vocabulary keeps, with what takes its place."""
_ENDINGS = (
    (r"n't(\PL|$)", rf" n{_MARK}t\1"),
    (r"'(s|re|ve|ll|d|m)(\PL|$)", rf" {_MARK}\1\2"),
    (rf"[^\pL\pM\pN{_MARK}]", r" \0 "),
    (_MARK, "'"),
)
"""How a piece is cut that the vocabulary does not have: endings first, then all punctuation."""


class WordTokenizer(keras.layers.Layer):
    """A layer that cuts texts into words and gives their ids; as an object, KerasHub's tokenizers' kin.

    Args:
        vocabulary: the words in the order of their ids; None until `load_assets` reads them. The
            first two are PAD and UNKNOWN.
        options: the arguments of a Keras layer.
    """

    pad_token_id, unk_token_id = 0, 1

    def __init__(self, vocabulary: Sequence[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._words = tuple[str, ...]()
        self._table: tf.lookup.StaticHashTable | None = None
        if vocabulary is not None:
            self._set(vocabulary)

    def _set(self, words: Sequence[str]) -> None:
        """Makes the table of the words.

        Raises:
            ModelError: they do not begin with PAD and UNKNOWN, or one comes twice.
        """
        if tuple(words[:2]) != (PAD, UNKNOWN) or len(set(words)) != len(words):
            raise ModelError(
                f"a vocabulary begins with {PAD} and {UNKNOWN} and names no word twice"
            )
        ids = tf.range(len(words), dtype=tf.int32)
        pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(words), ids)
        with tf.init_scope():
            self._table = tf.lookup.StaticHashTable(pairs, self.unk_token_id)
        self._words = tuple(words)

    def __call__(self, texts: tf.Tensor | Sequence[str] | str) -> tf.RaggedTensor | tf.Tensor:
        """The ids of texts tf.string[B], ragged int32[B, words]; of one string int32[words]."""
        texts = tf.convert_to_tensor(texts)
        found = self._ids(tf.reshape(texts, [-1]))
        return found if texts.shape.rank else found.values

    def _ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
        if self._table is None:
            raise ModelError("this tokenizer has no vocabulary yet; load_assets reads it")
        texts = tf.strings.lower(texts, encoding="utf-8")
        for pattern, instead in (*_QUOTES, _APART):
            texts = tf.strings.regex_replace(texts, pattern, instead)
        pieces = tf.strings.split(texts)
        smaller = pieces.values
        for pattern, instead in _ENDINGS:
            smaller = tf.strings.regex_replace(smaller, pattern, instead)
        is_known = self._table.lookup(pieces.values) != self.unk_token_id
        words = tf.strings.split(tf.where(is_known, pieces.values, smaller))
        lengths = pieces.with_values(words.row_lengths())
        ids = self._table.lookup(words.values)
        return tf.RaggedTensor.from_row_lengths(ids, tf.reduce_sum(lengths, axis=1))

    def get_config(self) -> dict[str, Any]:
        """The arguments without the vocabulary, which `save_assets` writes."""
        return {"name": self.name}

    def get_vocabulary(self) -> list[str]:
        """All words in the order of their ids."""
        return list(self._words)

    def vocabulary_size(self) -> int:
        """The number of words."""
        return len(self._words)

    def id_to_token(self, id: int) -> str:
        """The word of an id."""
        return self._words[id]

    def token_to_id(self, token: str) -> int:
        """The id of a word; `unk_token_id` for one that the vocabulary does not have."""
        return int(self._table.lookup(tf.constant(token))) if self._table else self.unk_token_id

    def save_assets(self, folder: str) -> None:
        """Writes the words into `folder`, one per line."""
        with atomic_files.replace_file(pathlib.Path(folder) / _FILE) as file:
            file.write("".join(f"{word}\n" for word in self._words))

    def load_assets(self, folder: str) -> None:
        """Reads the words that `save_assets` wrote.

        Raises:
            ModelError: they are not a vocabulary.
        """
        self._set((pathlib.Path(folder) / _FILE).read_text("utf-8").splitlines())
