"""The preprocessing of texts: from strings to token ids with a backbone's own tokenizer."""

import dataclasses
import functools
import hashlib
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.errors import FlagError

START_NAMES = ("cls_token_id", "start_token_id")
END_NAMES = ("sep_token_id", "end_token_id")
SEPARATOR_NAMES = ("separator_token_id",)
"""What stands between two texts where the family writes no end."""
WITH_TWO_ENDS = ("RobertaTokenizer", "XLMRobertaTokenizer")
"""The tokenizers in KerasHub of networks that were trained on pairs with two ends between the texts."""
ONE_TEXT = ("text",)
"""The fields of an example that is one text."""

MOST_LOST = 0.1
"""A larger share of tokens that are cut off is warned of."""


@dataclasses.dataclass(frozen=True)
class TokenCounts:
    """Counts of tokens, without start and end, that show how a tokenizer and a length fit texts.

    Args:
        texts: number of texts.
        cut: number of texts that are longer than the length.
        tokens: number of tokens of all texts, before cutting.
        lost: number of tokens that are cut off.
        unknown: number of tokens that stand for words that the tokenizer does not know.
    """

    texts: int
    cut: int
    tokens: int
    lost: int
    unknown: int

    def share(self, count: int) -> float:
        """The share of `count` in `tokens`, 0 to 1."""
        return count / max(self.tokens, 1)

    def warning(self, length: int) -> str:
        """The warning that much of the texts is cut off, with the flag that helps; empty for little.

        Args:
            length: number of tokens to which the texts are cut.
        """
        share = self.share(self.lost)
        if share <= MOST_LOST:
            return ""
        return (
            f"{share:.0%} of the tokens are cut off, because texts are cut to {length} tokens: "
            f"--text_length={2 * length} keeps more of them"
        )

    def __str__(self) -> str:
        parts = ["no text is cut"]
        if self.cut:
            lost = f"{self.share(self.lost):.1%}"
            parts = [
                f"{self.cut:,} of {self.texts:,} texts are cut, which loses {lost} of the tokens"
            ]
        if self.unknown:
            parts.append(f"{self.share(self.unknown):.1%} of the tokens are unknown")
        return "; ".join(parts)


@dataclasses.dataclass(frozen=True)
class TextPreprocessing:
    """Tokenizing, cutting and padding of texts, which works in graphs.

    Args:
        tokenizer: a KerasHub tokenizer.
        length: number of tokens of the result, with those at the start and the end.
        inputs: names of the backbone's inputs, some of `token_ids`, `padding_mask`, `segment_ids`.
        fields: names of the texts of an example, in their order.
    """

    tokenizer: Any
    length: int
    inputs: tuple[str, ...] = ("token_ids", "padding_mask")
    fields: tuple[str, ...] = ONE_TEXT

    def __call__(self, *columns: Sequence[str] | tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> [B, length], for texts tf.string[B] of each of `fields`.

        `token_ids` int32, cut at the end and padded: the start, then each text with its end, and
        between two texts what the family writes there. Of several texts the longer ones are cut
        first. `padding_mask` bool, true on tokens. `segment_ids` int32, the place of the text that a
        token belongs to, 0 on padding (Devlin et al. 2019, arXiv:1810.04805, figure 2).
        """
        (start, end), pieces = self.special_ids(), self._cut([self._pieces(c) for c in columns])
        rows, last = pieces[0].nrows(), len(pieces) - 1
        parts: list[tuple[tf.RaggedTensor | None, int]] = [(_column(start, rows), 0)]
        for place, piece in enumerate(pieces):
            behind = end if place == last else self._separator_ids()
            parts += [(piece, place), (_column(behind, rows), place)]
        kept = [(part, place) for part, place in parts if part is not None]
        ragged = tf.concat([part for part, _ in kept], axis=1)
        segments = tf.concat([tf.zeros_like(part) + place for part, place in kept], axis=1)
        shape, mask = [None, self.length], tf.sequence_mask(ragged.row_lengths(), self.length)
        tensors = {
            "token_ids": ragged.to_tensor(default_value=self.pad_id, shape=shape),
            "padding_mask": tf.ensure_shape(mask, shape),
            "segment_ids": segments.to_tensor(default_value=0, shape=shape),
        }
        return {name: tensors[name] for name in self.inputs}

    def from_token_ids(self, token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> [B, length], for the token ids int32[B, L] of one text each, with start and end.

        Padding behind them may be there or not: what has the id of padding is not attended to.

        Raises:
            tf.errors.InvalidArgumentError: L is more than the length.
        """
        given = tf.shape(token_ids)[1]
        problem = f"token_ids has more than {self.length} tokens per text, the most of this model"
        with tf.control_dependencies([tf.debugging.Assert(given <= self.length, [problem])]):
            behind = [[0, 0], [0, self.length - given]]
            padded = tf.pad(token_ids, behind, constant_values=self.pad_id)
        padded = tf.ensure_shape(padded, [None, self.length])
        tensors = {
            "token_ids": padded,
            "padding_mask": padded != self.pad_id,
            "segment_ids": tf.zeros_like(padded),
        }
        return {name: tensors[name] for name in self.inputs}

    @functools.cached_property
    def graph_function(self) -> Callable[..., dict[str, tf.Tensor]]:
        """The preprocessing as one graph for any number of texts.

        It is kept, and made without AutoGraph, which nothing here needs: a small run would spend
        more time on rewriting the source of the tokenizer than on all its texts.
        """
        signature = [tf.TensorSpec([None], tf.string)] * len(self.fields)
        return tf.function(self.__call__, input_signature=signature, autograph=False)

    @property
    def pad_id(self) -> int:
        """The id of padding, which stands where there is no token."""
        return int(getattr(self.tokenizer, "pad_token_id", None) or 0)

    def mask_id(self) -> int:
        """The id that hides a token: the mask, or the id of unknown words where there is no mask.

        Raises:
            FlagError: the tokenizer has neither.
        """
        mask_id = getattr(self.tokenizer, "mask_token_id", None)
        mask_id = self.unknown_id() if mask_id is None else int(mask_id)
        if mask_id is None:
            raise FlagError("this tokenizer has no mask", flag="augment", fix="--augment=eda")
        return mask_id

    def unknown_id(self) -> int | None:
        """The id of unknown words; None for a tokenizer that knows every byte."""
        tokenizer = self.tokenizer
        if getattr(tokenizer, "unk_token_id", None) is not None:
            return int(tokenizer.unk_token_id)
        word = getattr(tokenizer, "oov_token", None) or getattr(tokenizer, "unk_token", None)
        return None if word is None else int(tokenizer.token_to_id(word))

    def special_ids(self) -> tuple[list[int], list[int]]:
        """`(ids, ids)` that the family writes before and after a text, with one id or none each."""
        return _first_id(self.tokenizer, START_NAMES), _first_id(self.tokenizer, END_NAMES)

    def count_tokens(self, *columns: Sequence[str] | tf.Tensor) -> tf.Tensor:
        """int32[B], the number of tokens, with start and end, before cutting; tf.string[B] of each field."""
        lengths = tf.add_n([self._pieces(texts).row_lengths() for texts in columns])
        return tf.cast(lengths, tf.int32) + self._num_special()

    def num_tokens(self, texts: Sequence[str] | tf.Tensor) -> np.ndarray:
        """int64[B], the number of tokens of texts of one field, without those at start and end."""
        return self._pieces(texts).row_lengths().numpy()

    def token_ids(self, texts: Sequence[str] | tf.Tensor) -> list[np.ndarray]:
        """int32[tokens] of each of B texts of one field, uncut, without start and end."""
        pieces = self._pieces(texts)
        return np.split(pieces.values.numpy(), pieces.row_splits.numpy()[1:-1])

    def first_places(self, kept: Sequence[np.ndarray]) -> list[np.ndarray]:
        """int64[B] for each field: the place of its first token in `token_ids` of an example.

        Args:
            kept: of each field, how many tokens are not cut off, as `kept_tokens` counts them.
        """
        place = np.full(len(kept[0]), len(self.special_ids()[0]), np.int64)
        places = []
        for count in kept:
            places.append(place)
            place = place + count + len(self._separator_ids())
        return places

    def kept_tokens(self, *columns: Sequence[str] | tf.Tensor) -> list[np.ndarray]:
        """int64[B] for each field: how many of the tokens of its texts, tf.string[B], are not cut off."""
        pieces = self._cut([self._pieces(texts) for texts in columns])
        return [piece.row_lengths().numpy() for piece in pieces]

    def count(self, *columns: Sequence[str] | tf.Tensor) -> TokenCounts:
        """The TokenCounts of texts, tf.string[B] of each field."""
        pieces = tf.concat([self._pieces(texts) for texts in columns], axis=1)
        unknown, lengths = self.unknown_id(), pieces.row_lengths()
        lost = tf.nn.relu(lengths - self.length + self._num_special())
        is_unknown = pieces.values == (-1 if unknown is None else unknown)
        return TokenCounts(
            texts=int(tf.size(lengths)),
            cut=int(tf.math.count_nonzero(lost)),
            tokens=int(tf.size(pieces.values)),
            lost=int(tf.reduce_sum(lost)),
            unknown=int(tf.math.count_nonzero(is_unknown)),
        )

    def _separator_ids(self) -> list[int]:
        """The ids between two texts, which are the end, twice in RoBERTa's family, or what stands for it."""
        end = self.special_ids()[1] or _first_id(self.tokenizer, SEPARATOR_NAMES)
        name = type(self.tokenizer).__name__
        return end * 2 if name in WITH_TWO_ENDS else end

    def _num_special(self) -> int:
        """The number of tokens of an example that are not of its texts."""
        start, end = self.special_ids()
        return len(start) + len(end) + (len(self.fields) - 1) * len(self._separator_ids())

    def _cut(self, pieces: list[tf.RaggedTensor]) -> list[tf.RaggedTensor]:
        """The tokens that fit; each of several texts keeps an equal share, and what others leave free."""
        most = self.length - self._num_special()
        if len(pieces) == 1:
            return [pieces[0][:, :most]]
        import tensorflow_text

        return tensorflow_text.RoundRobinTrimmer(most).trim(pieces)

    def _pieces(self, texts: Sequence[str] | tf.Tensor) -> tf.RaggedTensor:
        """The tokens of texts tf.string[B], ragged int32[B, tokens]."""
        pieces = self.tokenizer(tf.convert_to_tensor(texts))
        if isinstance(pieces, list):  # what KerasHub makes of tensors outside of graphs
            return tf.ragged.constant(pieces, dtype=tf.int32, ragged_rank=1)
        return tf.cast(pieces, tf.int32)

    def tokenizer_digest(self) -> str:
        """The hexadecimal digest of the tokenizer: its class, settings and vocabulary."""
        config = {key: value for key, value in self.tokenizer.get_config().items() if key != "name"}
        digest = hashlib.blake2b(f"{type(self.tokenizer)} {config}".encode(), digest_size=16)
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save_assets(folder)
            for path in sorted(pathlib.Path(folder).rglob("*")):
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    def to_config(self) -> dict[str, Any]:
        """The data that `from_config` needs beside the tokenizer, ready for JSON."""
        config = {"length": self.length, "inputs": list(self.inputs)}
        return config if self.fields == ONE_TEXT else config | {"fields": list(self.fields)}

    @classmethod
    def from_config(cls, config: dict[str, Any], tokenizer: Any) -> "TextPreprocessing":
        """The preprocessing that the data of `to_config` describes, with the backbone's tokenizer."""
        fields = tuple(config.get("fields", ONE_TEXT))
        return cls(tokenizer, config["length"], tuple(config["inputs"]), fields)


def _first_id(tokenizer: object, names: tuple[str, ...]) -> list[int]:
    """The id under the first of some attributes that the tokenizer has; [] without any."""
    ids = [getattr(tokenizer, name, None) for name in names]
    return [int(value) for value in ids if value is not None][:1]


def _column(ids: Sequence[int], rows: tf.Tensor) -> tf.RaggedTensor | None:
    """Ragged [rows, n] with n ids in each row; None for no ids."""
    if not ids:
        return None
    return tf.RaggedTensor.from_tensor(tf.tile([list(ids)], [tf.cast(rows, tf.int32), 1]))
