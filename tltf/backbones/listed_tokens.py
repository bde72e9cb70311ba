"""What tokenizers with a list of tokens share: the questions that KerasHub's tokenizers answer too."""


class ListedTokens:
    """A part of a tokenizer, whose `_tokens` are its tokens in the order of their ids."""

    _tokens: tuple[str, ...]

    def get_vocabulary(self) -> list[str]:
        """All tokens in the order of their ids."""
        return list(self._tokens)

    def vocabulary_size(self) -> int:
        """The number of tokens."""
        return len(self._tokens)

    def id_to_token(self, id: int) -> str:
        """The token of an id."""
        return self._tokens[id]

    def token_to_id(self, token: str) -> int:
        """The id of a token.

        Raises:
            ValueError: the vocabulary does not have it.
        """
        return self._tokens.index(token)
