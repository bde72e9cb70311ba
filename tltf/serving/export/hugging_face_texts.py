"""The small files of a Hugging Face folder: tokenizer, modules of sentence-transformers, README.md."""

import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tltf.data.texts.preprocessing import TextPreprocessing

_SPECIAL = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
    "unk_token": "[UNK]",
}
"""Role -> piece, in every BERT."""
_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
"""Poolings of sentence-transformers, as its files name them."""


def runtime() -> str:
    """What loads the folder in the check: transformers where it is installed, else numpy."""
    has_both = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    return "transformers" if has_both else "numpy_bert"


def write_tokenizer(folder: pathlib.Path, preprocessing: TextPreprocessing) -> None:
    """Writes vocab.txt and tokenizer_config.json of a KerasHub BertTokenizer."""
    tokenizer = preprocessing.tokenizer
    pieces = tokenizer.get_vocabulary()
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": bool(tokenizer.lowercase),
        "strip_accents": bool(tokenizer.strip_accents),
        "tokenize_chinese_chars": True,
        "model_max_length": preprocessing.length,
        **_SPECIAL,
    }
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", _SPECIAL)


def write_pooling(folder: pathlib.Path, mode: str, width: int) -> None:
    """Writes the folder of a pooling: `mean`, `max` or `cls`."""
    folder.mkdir()
    chosen = {f"pooling_mode_{name}": name.startswith(f"{mode}_tok") for name in _MODES}
    _write_json(folder / "config.json", {"word_embedding_dimension": width, **chosen})


def write_modules(folder: pathlib.Path, modules: Sequence[tuple[str, str]], length: int) -> None:
    """Writes modules.json and the settings of the encoder.

    Args:
        folder: the folder.
        modules: (path below the folder, class in sentence_transformers.models) of each module.
        length: tokens that a text is cut to.
    """
    entries = [
        {
            "idx": place,
            "name": str(place),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, (path, kind) in enumerate(modules)
    ]
    _write_json(folder / "modules.json", entries)
    settings = {"max_seq_length": length, "do_lower_case": False}
    _write_json(folder / "sentence_bert_config.json", settings)


def readme(is_classifier: bool, labels: Mapping[str, str], preprocessing: TextPreprocessing) -> str:
    """README.md: what the folder holds, and Python that uses it.

    Args:
        is_classifier: whether AutoModelForSequenceClassification reads it.
        labels: `id2label` of config.json.
        preprocessing: of the model.
    """
    texts = '"first", "second"' if len(preprocessing.fields) == 2 else '"a fine film"'
    names = ", ".join(list(labels.values())[:20])
    head = _CLASSIFIER if is_classifier else _ENCODER
    return (
        "# A text classifier, exported by tltf\n\n"
        f"Classes: {names}. Texts are cut to {preprocessing.length} tokens.\n\n"
        + head.format(texts=texts, length=preprocessing.length)
    )


_CLASSIFIER = """```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForSequenceClassification.from_pretrained("FOLDER").eval()
tokens = tokenizer({texts}, truncation=True, max_length={length}, return_tensors="pt")
with torch.no_grad():
    logits = model(**tokens).logits[0]
print(model.config.id2label[int(logits.argmax())])
```
"""
_ENCODER = """The head takes features that `BertForSequenceClassification` does not have, such as the mean over the
tokens. So `AutoModelForSequenceClassification` must not be used: it would put a random head on the
encoder. The head lies in the numbered folders, as modules of sentence-transformers, whose `encode` gives
the logits:

```python
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig

model = SentenceTransformer("FOLDER")
logits = model.encode([{texts}])[0]
print(AutoConfig.from_pretrained("FOLDER").id2label[int(logits.argmax())])
```

`AutoModel` and `AutoTokenizer` of transformers read the encoder alone.
"""


def _write_json(path: pathlib.Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
