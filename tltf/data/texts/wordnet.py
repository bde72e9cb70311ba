"""Synonyms from the files of WordNet 3.1, which tltf.files.assets fetches."""

import functools
import pathlib

from tltf.files import assets

PARTS = ("noun", "verb", "adj", "adv")
ENDINGS = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}
"""Part of speech -> endings and their replacements: the rules of detachment of WordNet (morphy(7WN))."""


class WordNet:
    """A thesaurus of English words.

    Args:
        folder: the folder of index.noun, data.noun and so on; by default that of the asset.
    """

    def __init__(self, folder: pathlib.Path | str | None = None) -> None:
        folder = pathlib.Path(folder or assets.fetch("wordnet"))
        self._index = {part: _index(folder / f"index.{part}") for part in PARTS}
        self._data = {part: (folder / f"data.{part}").read_bytes() for part in PARTS}

    @functools.lru_cache(maxsize=65536)  # noqa: B019 (one instance per process)
    def synonyms(self, word: str) -> list[str]:
        """The other lemmas, sorted, in all meanings of a word and of its base forms.

        Args:
            word: the word, in upper or lower case.
        """
        word = word.lower()
        synonyms = set()
        for part in PARTS:
            for lemma in self._lemmas(word, part):
                for offset in self._index[part].get(lemma, ()):
                    synonyms.update(self._words(part, offset))
                synonyms.discard(lemma.replace("_", " "))
        return sorted(synonyms - {word})

    def _lemmas(self, word: str, part: str) -> list[str]:
        """The word and its base forms that are lemmas of a part of speech."""
        lemmas = [word] + [
            word.removesuffix(ending) + new
            for ending, new in ENDINGS[part]
            if word.endswith(ending)
        ]
        return [lemma for lemma in dict.fromkeys(lemmas) if lemma in self._index[part]]

    def _words(self, part: str, offset: int) -> list[str]:
        """The lemmas of a synset.

        Its line is `offset file type count word id word id ...`, with a hexadecimal count.
        """
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode("ascii").split(" ")
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        return [word.partition("(")[0].replace("_", " ").lower() for word in words]


def _index(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """Lemma -> offsets of its synsets; lines that start with a blank are the licence."""
    offsets_of_lemma = {}
    for line in path.read_text("ascii").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split()
        offsets_of_lemma[fields[0]] = tuple(int(offset) for offset in fields[-int(fields[2]) :])
    return offsets_of_lemma


@functools.cache
def load_wordnet() -> WordNet:
    """The WordNet of this process, which is read when it is first needed."""
    return WordNet()
