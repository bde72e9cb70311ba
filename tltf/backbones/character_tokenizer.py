"""A tokenizer of single characters, for networks that read texts letter by letter.

Upper and lower case differ. White space is read as a space, and characters that the vocabulary does not
have are left out. Only operators of TensorFlow's core are used.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tltf.backbones.listed_tokens import ListedTokens
from tltf.errors import ModelError
from tltf.files import atomic_files, untrusted

PAD, START = "<pad>", "<s>"
"""The first token, which no text has, and the one before each text."""
_FILE = "vocabulary.json"


class CharacterTokenizer(ListedTokens, keras.layers.Layer):
    """A layer that cuts texts into characters and gives their ids; as an object, KerasHub's tokenizers' kin.

    Args:
        vocabulary: the tokens in the order of their ids: PAD, then characters, and START among them;
            None until `load_assets` reads them.
        options: the arguments of a Keras layer.
    """

    pad_token_id = 0

    def __init__(self, vocabulary: Sequence[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._tokens = tuple[str, ...]()
        self._table: tf.lookup.StaticHashTable | None = None
        self.start_token_id: int | None = None
        self.separator_token_id: int | None = None
        if vocabulary is not None:
            self._set(vocabulary)

    def _set(self, tokens: Sequence[str]) -> None:
        """Makes the table of the characters.

        Raises:
            ModelError: PAD is not the first one, START is missing, another one is not a single
                character, or one comes twice.
        """
        others = [token for token in tokens[1:] if token != START]
        is_whole = len(others) == len(tokens) - 2 and len(set(tokens)) == len(tokens)
        if not is_whole or tokens[0] != PAD or any(len(token) != 1 for token in others):
            raise ModelError(
                f"a vocabulary of characters begins with {PAD}, has {START}, and names no character twice"
            )
        ids = tf.range(len(tokens), dtype=tf.int32)
        pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(list(tokens)), ids)
        with tf.init_scope():
            self._table = tf.lookup.StaticHashTable(pairs, -1)
        self._tokens = tuple(tokens)
        self.start_token_id = self.separator_token_id = self._tokens.index(START)

    def __call__(self, texts: tf.Tensor | Sequence[str] | str) -> tf.RaggedTensor | tf.Tensor:
        """The ids of texts tf.string[B], ragged int32[B, characters]; of one string int32[characters]."""
        texts = tf.convert_to_tensor(texts)
        found = self._ids(tf.reshape(texts, [-1]))
        return found if texts.shape.rank else found.values

    def _ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
        if self._table is None:
            raise ModelError("this tokenizer has no vocabulary yet; load_assets reads it")
        texts = tf.strings.regex_replace(texts, r"\s", " ")
        characters = tf.strings.unicode_split(texts, "UTF-8")
        ids = characters.with_values(self._table.lookup(characters.values))
        return tf.ragged.boolean_mask(ids, ids >= 0)

    def get_config(self) -> dict[str, Any]:
        """The arguments without the vocabulary, which `save_assets` writes."""
        return {"name": self.name}

    def save_assets(self, folder: str) -> None:
        """Writes the tokens into `folder`, as a list in JSON."""
        with atomic_files.replace_file(pathlib.Path(folder) / _FILE) as file:
            file.write(json.dumps(self._tokens))

    def load_assets(self, folder: str) -> None:
        """Reads the tokens that `save_assets` wrote.

        Raises:
            ModelError: they are not a vocabulary of characters.
        """
        path = pathlib.Path(folder) / _FILE
        tokens = untrusted.read_json(path)
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ModelError("is not a list of tokens", place=path)
        self._set(tokens)
