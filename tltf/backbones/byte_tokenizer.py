"""A tokenizer of byte pairs, as SmolLM has it: no word is unknown.

A text is cut into pieces (words with the blank before them, single digits, punctuation, white space),
and in each piece the pair of neighbours with the first merge becomes one token, until no pair has a
merge: Sennrich et al. 2016, arXiv:1508.07909, on bytes. Only operators of TensorFlow's core are used, and
nothing is remembered from call to call, so that it can be served.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tltf.backbones.listed_tokens import ListedTokens
from tltf.errors import ModelError
from tltf.files import atomic_files

NEW_LINE = "Ċ"
"""The token of a new line, which stands between two texts of an example."""
MOST_BYTES = 256
"""A longer piece is cut there, so that a text without blanks takes no more time than others."""
_VOCABULARY, _MERGES = "vocabulary.txt", "merges.txt"
_SPACE = r"\t\n\v\f\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
"""White space of Unicode; that of RE2 is ASCII's."""
_MARK = "\uffff"
"""Stands where a text is cut; it is no character, and one in a text is left out."""
_LAST_SPACE = (rf"([{_SPACE}])([^{_SPACE}\pN{_MARK}])", rf"{_MARK}\1\2")
"""Sets the last white space before a word apart; GPT-2's pattern looks ahead for that, which RE2 does not."""
_PIECE = (
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?\pL+|\pN| ?[^{_SPACE}\pL\pN{_MARK}]+|[{_SPACE}]+",
    rf"\0{_MARK}",
)


def byte_letters() -> list[str]:
    """The letter that stands for each of the 256 bytes in a vocabulary; those of ASCII stand for themselves."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in own else next(others)) for byte in range(256)]


class ByteTokenizer(ListedTokens, keras.layers.Layer):
    """A layer that cuts texts into byte pairs and gives their ids; as an object, KerasHub's tokenizers' kin.

    Args:
        vocabulary: the tokens in the order of their ids, in the letters of `byte_letters`; None
            until `load_assets` reads them. The first one is the padding, which no text has. A byte
            without a token, such as some control characters, is left out.
        merges: pairs `left right` of tokens, the first merge first.
        options: the arguments of a Keras layer.
    """

    pad_token_id = 0

    def __init__(
        self,
        vocabulary: Sequence[str] | None = None,
        merges: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._tokens, self._merges = tuple[str, ...](), tuple[str, ...]()
        self._ranks: tf.lookup.StaticHashTable | None = None
        self.separator_token_id: int | None = None
        if vocabulary is not None:
            self._set(vocabulary, merges)

    def _set(self, tokens: Sequence[str], merges: Sequence[str]) -> None:
        """Makes the tables.

        Raises:
            ModelError: a token comes twice, or a merge is not of two tokens.
        """
        ids = {token: place for place, token in enumerate(tokens)}
        pairs = [merge.split(" ") for merge in merges]
        needed = (part for pair in pairs for part in (*pair, "".join(pair)))
        lacks = next((part for part in needed if part not in ids), None)
        if lacks is not None:
            raise ModelError(f"a merge is of a token that the vocabulary lacks: {lacks!r:.80}")
        if len(ids) < len(tokens) or any(len(pair) != 2 for pair in pairs):
            raise ModelError("a vocabulary names no token twice, and a merge has two tokens")
        keys = [ids[left] * len(ids) + ids[right] for left, right in pairs]
        made = [ids[left + right] for left, right in pairs]
        with tf.init_scope():
            self._bytes = tf.constant([ids.get(letter, -1) for letter in byte_letters()], tf.int32)
            self._made = tf.constant([*made, 0], tf.int32)
            pairs_of_keys = tf.lookup.KeyValueTensorInitializer(
                tf.constant(keys, tf.int64), tf.range(len(keys), dtype=tf.int32)
            )
            self._ranks = tf.lookup.StaticHashTable(pairs_of_keys, len(keys))
        self._tokens, self._merges = tuple(tokens), tuple(merges)
        self.separator_token_id = ids.get(NEW_LINE)

    def __call__(self, texts: tf.Tensor | Sequence[str] | str) -> tf.RaggedTensor | tf.Tensor:
        """The ids of texts tf.string[B], ragged int32[B, tokens]; of one string int32[tokens]."""
        texts = tf.convert_to_tensor(texts)
        found = self._ids(tf.reshape(texts, [-1]))
        return found if texts.shape.rank else found.values

    def _ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
        if self._ranks is None:
            raise ModelError("this tokenizer has no vocabulary yet; load_assets reads it")
        for pattern, instead in (_LAST_SPACE, _PIECE):
            texts = tf.strings.regex_replace(texts, pattern, instead)
        pieces = tf.strings.split(texts, _MARK)
        pieces = tf.ragged.boolean_mask(pieces, pieces != "")
        different, places = tf.unique(pieces.values, tf.int64)
        tokens = tf.gather(self._merged(different), places)
        return tf.RaggedTensor.from_row_splits(
            tokens.values, tf.gather(tokens.row_splits, pieces.row_splits)
        )

    def _merged(self, pieces: tf.Tensor) -> tf.RaggedTensor:
        """The tokens of each of tf.string[P] pieces, ragged int32[P, tokens]."""
        lengths = tf.strings.length(pieces)
        starts = tf.repeat(tf.cumsum(lengths, exclusive=True), lengths)
        piece = tf.repeat(tf.range(tf.size(pieces)), lengths)
        place = tf.range(tf.size(piece)) - starts
        run = tf.cumsum(tf.cast(place % MOST_BYTES == 0, tf.int32)) - 1
        letters = tf.io.decode_raw(tf.strings.reduce_join(pieces), tf.uint8)
        tokens = tf.gather(self._bytes, tf.cast(letters, tf.int32))
        tokens, run, piece = (tf.boolean_mask(x, tokens >= 0) for x in (tokens, run, piece))
        free = tf.TensorShape([None])
        tokens, _, piece, _ = tf.while_loop(
            lambda tokens, run, piece, goes_on: goes_on,
            lambda tokens, run, piece, _: self._merge_once(tokens, run, piece),
            (tokens, run, piece, tf.size(tokens) > 0),
            (free, free, free, tf.TensorShape([])),
        )
        counts = tf.math.bincount(piece, minlength=tf.size(pieces), maxlength=tf.size(pieces))
        return tf.RaggedTensor.from_row_lengths(tokens, tf.cast(counts, tf.int64))

    def _merge_once(
        self, tokens: tf.Tensor, run: tf.Tensor, piece: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """One merge in each run, the leftmost pair of those with its first merge.

        Args:
            tokens: int32[T].
            run: int32[T], ascending; tokens of different runs are never merged.
            piece: int32[T], what a token belongs to.

        Returns:
            The three without the tokens that went into others, and whether any did.
        """
        none, size = len(self._merges), tf.cast(len(self._tokens), tf.int64)
        left, right = tf.cast(tokens[:-1], tf.int64), tf.cast(tokens[1:], tf.int64)
        rank = tf.where(run[:-1] == run[1:], self._ranks.lookup(left * size + right), none)  # type: ignore[union-attr]
        first = self._least(rank, run)
        place = tf.range(tf.size(rank))
        is_first = (rank == first) & (rank < none)
        is_merged = is_first & (
            place == self._least(tf.where(is_first, place, tf.size(place)), run)
        )
        merged = tf.where(is_merged, tf.gather(self._made, rank), tokens[:-1])
        tokens = tf.concat([merged, tokens[-1:]], 0)
        stays = tf.concat([tf.ones_like(tokens[:1], tf.bool), ~is_merged], 0)
        kept = [tf.boolean_mask(values, stays) for values in (tokens, run, piece)]
        return kept[0], kept[1], kept[2], tf.reduce_any(is_merged)

    @staticmethod
    def _least(values: tf.Tensor, run: tf.Tensor) -> tf.Tensor:
        """int32[T - 1]: the least value of each run, at each of its places."""
        return tf.gather(tf.math.unsorted_segment_min(values, run[:-1], run[-1] + 1), run[:-1])

    def get_config(self) -> dict[str, Any]:
        """The arguments without the vocabulary and the merges, which `save_assets` writes."""
        return {"name": self.name}

    def save_assets(self, folder: str) -> None:
        """Writes the tokens and the merges into `folder`, one per line."""
        for name, lines in ((_VOCABULARY, self._tokens), (_MERGES, self._merges)):
            with atomic_files.replace_file(pathlib.Path(folder) / name) as file:
                file.write("".join(f"{line}\n" for line in lines))

    def load_assets(self, folder: str) -> None:
        """Reads what `save_assets` wrote.

        Raises:
            ModelError: it is not a vocabulary of byte pairs.
        """
        read = [(pathlib.Path(folder) / n).read_text("utf-8") for n in (_VOCABULARY, _MERGES)]
        self._set(*(text.split("\n")[:-1] for text in read))
