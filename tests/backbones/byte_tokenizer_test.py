"""Byte pairs: the tokens are those of another implementation, in graphs too, and come back from files."""

import numpy as np
import pytest
import tensorflow as tf
import tokenizers

from tests import tiny_llama
from tltf.backbones import gguf, smollm
from tltf.backbones.byte_tokenizer import MOST_BYTES, ByteTokenizer
from tltf.data.texts import words
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import ModelError
from tltf.files import assets

TEXTS = [
    "the film is good",
    "The film isn't good; it's not bad, I'LL say 'tis'",
    "in 2024  there're   3 or  ½ x² 'films'",
    "a\n\n b\t\tc  \n",
    "  lead",
    "trail   ",
    "",
    "   ",
    "naïve café 日本語",
    "a\u00a0b\u3000c\u2003 d\x0be",
    "!!!??? ... --- ___ <|endoftext|>",
    "🙂🙂 'so it's '",
    "the\u2028film\x85is\x04 good",
]

LLAMA_CPP = """
788 216 34 32 34 36 665 2316 333 35 476 385 2346 1002 1326 982
422 2154 23 68 198 198 3546 46494 17097 241 115 40993 216 16738
"""
"""The ids that llama.cpp gives for a text (node-llama-cpp 3.22.1)."""


def _tiny():
    return ByteTokenizer(tiny_llama.tokens(), tiny_llama.merges())


def _other(tokens, merges):
    """Hugging Face's implementation, with SmolLM's rules: single digits, then GPT-2's pattern."""
    ids = {token: place for place, token in enumerate(tokens)}
    pairs = [tuple(merge.split(" ")) for merge in merges]
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=ids, merges=pairs))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return lambda texts: [encoding.ids for encoding in made.encode_batch(list(texts))]


def _drawn(count):
    rng, letters = np.random.default_rng(0), list("thefilmsgood nb'\n\t .1-é\u00a0日½\u2028\x0b")
    return ["".join(rng.choice(letters, rng.integers(0, 30))) for _ in range(count)]


def test_tokens_are_those_of_another_implementation():
    texts = [*TEXTS, *_drawn(500)]
    assert _tiny()(texts).to_list() == _other(tiny_llama.tokens(), tiny_llama.merges())(texts)


def test_a_graph_gives_the_same_and_texts_do_not_change_each_other():
    tokenizer = _tiny()
    together = tokenizer(TEXTS).to_list()
    assert together == [tokenizer(text).numpy().tolist() for text in TEXTS]
    prepared = TextPreprocessing(tokenizer, 9)
    found = prepared.graph_function(tf.constant(TEXTS))["token_ids"].numpy()
    assert [row[: min(len(ids), 9)].tolist() for row, ids in zip(found, together, strict=True)] == [
        ids[:9] for ids in together
    ]
    assert tokenizer(tf.constant([], tf.string)).to_list() == []


def test_a_long_piece_is_cut_and_loses_nothing():
    ids = _tiny()("good" * MOST_BYTES).numpy()
    assert len(ids) == MOST_BYTES and set(ids) == {_tiny().token_to_id("good")}
    assert len(_tiny()("o" * (2 * MOST_BYTES + 3))) == 2 * MOST_BYTES + 3


def test_a_byte_without_a_token_is_left_out():
    kept = [token for token in tiny_llama.tokens() if token != "x"]
    tokenizer = ByteTokenizer(kept, tiny_llama.merges())
    assert tokenizer("xtxhex").numpy().tolist() == tokenizer("the").numpy().tolist()


def test_it_comes_back_from_its_files_and_refuses_others(tmp_path):
    _tiny().save_assets(str(tmp_path))
    again = ByteTokenizer(**_tiny().get_config())
    with pytest.raises(ModelError, match="no vocabulary yet"):
        again("good")
    again.load_assets(str(tmp_path))
    assert again.get_vocabulary() == tiny_llama.tokens()
    assert again(TEXTS).to_list() == _tiny()(TEXTS).to_list()
    assert again.id_to_token(0) == "<|endoftext|>" and again.vocabulary_size() == len(
        tiny_llama.tokens()
    )
    with pytest.raises(ModelError, match="the vocabulary lacks: 'qu'"):
        ByteTokenizer(tiny_llama.tokens(), ["q u"])
    with pytest.raises(ModelError, match="names no token twice"):
        ByteTokenizer(["a", "a"])


def test_two_texts_of_an_example_are_apart_by_a_new_line():
    tokenizer = _tiny()
    prepared = TextPreprocessing(tokenizer, 12, fields=("question", "answer"))
    ids = prepared(["the film"], ["good"])["token_ids"].numpy()[0]
    parts = [tokenizer(text).numpy().tolist() for text in ("the film", "\n", "good")]
    assert ids[: sum(map(len, parts))].tolist() == [token for part in parts for token in part]


def test_words_are_found_behind_their_blanks():
    (parts,) = words.parts_of(TextPreprocessing(_tiny(), 20), [["the film isn't good"]])
    assert "".join(part.text for part in parts) == "the film isn't good"
    assert [part.text for part in parts if part.end > part.first] == [
        "the",
        "film",
        "isn't",
        "good",
    ]


@pytest.mark.large
def test_tokens_of_smollm_are_those_of_another_implementation_and_of_llama_cpp():
    (path,) = assets.fetch("smollm2_135m").glob("*.gguf")
    file = gguf.read(path)
    metadata = file.metadata
    other = _other(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"])
    tokenizer, texts = smollm.tokenizer(file), [*TEXTS, *_drawn(2000)]
    assert tokenizer(texts).to_list() == other(texts)
    text = "In 2024 there're   3 \"quotes\", don't DON'T\n\nnaïve 日本 ½"
    assert tokenizer(text).numpy().tolist() == [int(token) for token in LLAMA_CPP.split()]
