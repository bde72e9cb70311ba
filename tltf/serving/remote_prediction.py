"""Predictions that a model server makes, in the rows that the run itself would write.

The server tells what its model is. Inputs are read and checked here, as for a run, and sent in
batches; the scores of the answers are read by the model's own head. A batch that the server refuses
is halved until the refused input is alone, whose row then has the reason.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.config.command_options import PredictOptions
from tltf.console import lines
from tltf.data.images import files
from tltf.errors import DataError, ModelError
from tltf.heads.head import Head
from tltf.models import prediction_rows, predictor
from tltf.models.prediction import Prediction
from tltf.serving.about import AboutModel
from tltf.serving.client import GrpcClient, RestClient

GRPC = "grpc://"
MOST_BYTES = 1 << 23
"""Bytes of inputs in one request, if it has several: servers refuse bodies that are too large."""


def write(options: PredictOptions) -> None:
    """Writes a row for each input that the options name, answered by --server.

    Raises:
        FlagError, DataError: see `prediction_rows.write_rows`.
        ModelError: the server has no such model or version, or the model does not tell what it is.
        StorageError: the server does not answer.
    """
    client = make_client(options)
    told, version = client.describe()
    about = AboutModel.from_json(told, options.server)
    lines.say("server", f"{options.server} has version {version} of {options.model}")
    head: Head = call_strings.pick(HEADS, about.head, "head").build()
    pinned = make_client(options, version)
    asked = prediction_rows.Asked(
        about.modality, about.fields, about.reading, head, about.class_names
    )
    predictor.check_threshold(head, about.class_names, options.threshold)
    prediction_rows.write_rows(
        asked, lambda: RemotePredictor(pinned, about, head, options), options
    )


def make_client(options: PredictOptions, version: int = 0) -> RestClient | GrpcClient:
    """The client that the options name; for `version`, where it is given, in place of theirs."""
    kind = GrpcClient if options.server.startswith(GRPC) else RestClient
    return kind(
        address=options.server.removeprefix(GRPC),
        model=options.model,
        version=version or options.version or 0,
        timeout_s=options.timeout_s,
        retries=options.retries,
        label="" if version else options.version_label,
    )


class RemotePredictor:
    """The prediction of a model on a server.

    Args:
        client: asks one version of the model.
        about: what the model is.
        head: its head.
        options: those of `tltf.predict`.
    """

    def __init__(
        self,
        client: RestClient | GrpcClient,
        about: AboutModel,
        head: Head,
        options: PredictOptions,
    ) -> None:
        self._client, self._about, self._head = client, about, head
        self._threshold, self.batch_size = options.threshold, options.eval_batch_size

    def stream(self, inputs: Iterable[object]) -> Iterator[Prediction]:
        """Yields a Prediction for each input, in their order; it reads one batch ahead."""
        remaining = iter(inputs)
        while batch := list(itertools.islice(remaining, self.batch_size)):
            yield from self._batch(batch)

    def _batch(self, batch: Sequence[object]) -> Iterator[Prediction]:
        prepared = [predictor.attempt(self._prepare, item) for item in batch]
        good = [value for value, error in prepared if value is not None and not error]
        answers = itertools.chain.from_iterable(map(self._scores, _parts(good)))
        for item, (_, error) in zip(batch, prepared, strict=True):
            row, refusal = (None, error) if error else next(answers)
            yield predictor.make_prediction(
                item, refusal, row, self._head, self._about.class_names, self._threshold
            )

    def _prepare(self, item: object) -> tuple[bytes | str, ...]:
        """The values of an input that are sent, one per field.

        Raises:
            DataError, OSError: it cannot be read.
        """
        if self._about.modality == "text":
            encoded = predictor.encode_texts(item, self._about.fields)
            return tuple(text.decode("utf-8") for text in encoded)
        return (predictor.decodable_image(predictor.read_file(str(item))),)

    def _scores(
        self, rows: Sequence[tuple[bytes | str, ...]]
    ) -> list[tuple[np.ndarray | None, str]]:
        """`(float32[K], "")` for each row, or `(None, why)` where the server refuses it."""
        columns = dict(zip(self._about.inputs, zip(*rows, strict=True), strict=True))
        try:
            outputs = self._client.predict(columns)
        except DataError as error:
            if len(rows) == 1:
                return [(None, self._reason(rows[0], error))]
            half = len(rows) // 2
            return self._scores(rows[:half]) + self._scores(rows[half:])
        return [(row, "") for row in self._read(outputs, len(rows))]

    def _read(self, outputs: Mapping[str, Any], num_rows: int) -> np.ndarray:
        """float32[num_rows, K]: the scores in the outputs of the server."""
        name = self._head.scores_name
        try:
            scores = np.asarray(outputs[name], np.float32).reshape(num_rows, -1)
        except (KeyError, ValueError, TypeError) as error:
            what = f"the answer has no {name} for each of {num_rows} inputs"
            raise ModelError(what, place=self._client.address) from error
        wanted = len(self._head.columns(self._about.class_names))
        if scores.shape[1] != wanted:
            what = f"the answer has {scores.shape[1]} {name} per input, not {wanted}"
            raise ModelError(what, place=self._client.address)
        return scores

    def _reason(self, row: tuple[bytes | str, ...], error: DataError) -> str:
        """Why the server refuses an input: what is wrong with the file, else the server's words."""
        (first, *_) = row
        found = files.inspect_bytes(first).reason if isinstance(first, bytes) else ""
        return found or error.what


def _parts(rows: Sequence[tuple[bytes | str, ...]]) -> Iterator[list[tuple[bytes | str, ...]]]:
    """The rows in groups of at most MOST_BYTES, or of one row."""
    part, size = list[tuple[bytes | str, ...]](), 0
    for row in rows:
        num_bytes = sum(map(len, row))
        if part and size + num_bytes > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(row)
        size += num_bytes
    if part:
        yield part
