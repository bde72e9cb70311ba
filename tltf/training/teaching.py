"""The answers of another model to the rows of a fit, computed once and kept in the feature cache."""

import keras
import numpy as np
import tensorflow as tf

from tltf.caching import frozen_outputs
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.heads.pooling import pool
from tltf.methods.context import LoadedModel
from tltf.methods.kept_answers import TextAnswers
from tltf.models.forward import ForwardPass
from tltf.models.transfer_model import TransferModel

ROLES = ("train", "validation")
"""The splits whose rows a loss is computed of."""
_AT_ONCE = 2048
"""Texts that are tokenized in one call."""


def text_answers(trained: TransferModel, teacher: LoadedModel) -> TextAnswers:
    """A teacher's answers to the training and validation rows of a model of texts.

    Args:
        trained: the model that is about to be trained.
        teacher: another model of texts, a TransferModel with the same names of fields.
    """
    if not isinstance(teacher, TransferModel):
        raise TypeError("a teacher is a model that can read rows")
    parts = {role: trained.splits[role] for role in ROLES if role in trained.splits}
    core = teacher.core
    features = pool(core.backbone.taps, core.backbone.modality, "auto")
    outputs = {"logits": core.model.output[core.head.name], "features": features}
    model = keras.Model(core.backbone.inputs, outputs)
    answers = [_answers(trained, teacher, model, part, role) for role, part in parts.items()]
    read = [_tokens(trained, part) for part in parts.values()]
    joined = {name: np.concatenate([one[name] for one in answers]) for name in outputs}
    token_ids, mask = (np.concatenate(columns) for columns in zip(*read, strict=True))
    return TextAnswers(token_ids, mask, joined["logits"], joined["features"])


def _answers(
    trained: TransferModel, teacher: TransferModel, model: keras.Model, part: Source, role: str
) -> dict[str, np.ndarray]:
    """Name -> float32[N, width] of the teacher's outputs for the rows of a split."""
    if trained.run_options.cache.cache:
        prepared = teacher.preprocessing
        reading = frozen_outputs.Reading(part, prepared, teacher.takes_any_length, role=role)
        try:
            return trained.feature_cache.table(model, reading).arrays(np.float32)
        except frozen_outputs.NotCached:
            pass
    both = ForwardPass(model, tuple(model.output))(teacher.dataset(part, trained.eval_batch_size))
    width = model.output["logits"].shape[-1]
    return {"logits": both[:, :width], "features": both[:, width:]}


def _tokens(trained: TransferModel, part: Source) -> tuple[np.ndarray, np.ndarray]:
    """`(token_ids int32[N, L], mask bool[N, L])` that the network reads of the rows of a split."""
    prepared, columns = trained.preprocessing, part.text_columns()
    if not isinstance(prepared, TextPreprocessing):
        raise TypeError("only texts have tokens")
    ids, masks = [], []
    for start in range(0, len(part), _AT_ONCE):
        texts = [tf.constant(list(column[start : start + _AT_ONCE])) for column in columns]
        made = prepared.graph_function(*texts)
        ids.append(made["token_ids"].numpy())
        masks.append(made["padding_mask"].numpy().astype(bool))
    return np.concatenate(ids), np.concatenate(masks)
