"""Clients that ask a model server for answers, over REST or gRPC, without TensorFlow.

They are for a model that tltf.export wrote and that TF Serving, or another server with its
interface, serves. REST needs only the standard library of Python; gRPC needs the extra `serving`.

    client = serving.RestClient("localhost:8501", "digits")
    client.classify([open("photo.jpg", "rb").read()]).labels
"""

import base64
import collections.abc
import dataclasses
import http.client
import json
import types
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from tltf.errors import DataError, FlagError, ModelError, StorageError, TltfError

IMAGE_INPUT, TEXT_INPUT = "image_bytes", "text"
"""The names of the input of an exported model that takes images, or texts of one field."""
Items = Sequence[bytes | str] | collections.abc.Mapping[str, Sequence[bytes | str]]
"""Texts or encoded images; for a model of several texts per input, field name -> its texts."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The classes or labels that a server gives.

    Args:
        labels: one str per input; several labels as `cat|dog`.
        probabilities: for each input one float per class, in the order of class_names.txt.
        is_sure: one bool per input, false where the model is not sure and its label is empty; () for a
            model that always answers.
    """

    labels: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]
    is_sure: tuple[bool, ...] = ()


@dataclasses.dataclass(frozen=True)
class RestClient:
    """A client that asks a server over HTTP with JSON.

    Args:
        address: `host:port`, or a URL if the server has a path or uses https.
        model: the name of the model on the server.
        version: version of the model; 0 takes the newest.
        timeout_s: seconds to wait for an answer.
    """

    address: str
    model: str
    version: int = 0
    timeout_s: float = 30.0

    def classify(self, items: Items) -> Answer:
        """The `Answer` for texts (str) or encoded images (bytes), all of one kind.

        A model of several texts per input takes a dict of them: field name -> list of str.

        Raises:
            DataError: the server refuses an input; the message names its position.
            ModelError: the server has no such model or version, or the model gives no classes.
            StorageError: the server does not answer.
        """
        return _classes(self.predict(items), self.model)

    def predict(self, items: Items) -> dict[str, list[Any]]:
        """Output name -> list with one entry per input; the names are e.g. `value` and `quantiles`.

        It takes the items of `classify` and raises its errors.
        """
        columns = _columns(items)
        if not columns:
            return {}
        inputs = {name: [_json_value(item) for item in part] for name, part in columns.items()}
        body = json.dumps({"inputs": inputs})
        base = self.address if "://" in self.address else f"http://{self.address}"
        version = f"/versions/{self.version}" if self.version else ""
        url = f"{base}/v1/models/{self.model}{version}:predict"
        return self._post(url, body.encode())

    def _post(self, url: str, body: bytes) -> dict[str, Any]:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                return json.load(response)["outputs"]
        except urllib.error.HTTPError as error:
            raise _refusal(error.code, error.read()[:10_000], url) from error
        except (OSError, http.client.HTTPException) as error:
            what = f"the server gives no answer: {getattr(error, 'reason', error)}"
            raise StorageError(what, place=url, fix="check the address and the server") from error
        except (ValueError, KeyError, TypeError) as error:
            what = "the answer does not have the form of TF Serving's answers"
            raise StorageError(what, place=url) from error


@dataclasses.dataclass(frozen=True)
class GrpcClient:
    """A client that asks a server over gRPC; for arguments and errors see RestClient."""

    address: str
    model: str
    version: int = 0
    timeout_s: float = 30.0

    def classify(self, items: Items) -> Answer:
        """The `Answer` for texts (str) or encoded images (bytes), all of one kind."""
        return _classes(self.predict(items), self.model)

    def predict(self, items: Items) -> dict[str, list[Any]]:
        """Output name -> list with one entry per input."""
        columns = _columns(items)
        if not columns:
            return {}
        ovmsclient, inputs = _import_ovmsclient(), {}
        for name, part in columns.items():
            inputs[name] = ovmsclient.make_tensor_proto([b"?"] * len(part))
            # ovmsclient would make numpy strings of the bytes, which lose the zeros at their end.
            inputs[name].string_val[:] = [_encoded(item) for item in part]
        client = ovmsclient.make_grpc_client(self.address)
        place = f"{self.address}/{self.model}"
        try:
            outputs = client.predict(inputs, self.model, self.version, self.timeout_s)
        except ovmsclient.ModelNotFoundError as error:
            raise ModelError(_message_of(error), place=place) from error
        except ovmsclient.InvalidInputError as error:
            raise DataError(_message_of(error), place=place) from error
        except (ovmsclient.ModelServerError, OSError) as error:  # TimeoutError is an OSError
            what = f"the server gives no answer: {_message_of(error)}"
            raise StorageError(what, place=place, fix="check the address and the server") from error
        lists = {name: values.tolist() for name, values in outputs.items()}
        texts = {
            name: [text.decode("utf-8") for text in values]
            for name, values in lists.items()
            if isinstance(values[0], bytes)
        }
        return lists | texts


def _classes(outputs: dict[str, Any], model: str) -> Answer:
    """The Answer of a server's outputs, which are {} if there was no input.

    Raises:
        ModelError: the model gives no classes.
    """
    if not outputs:
        return Answer((), ())
    name = next((name for name in ("label", "labels") if name in outputs), "")
    if not name:
        what = f"{model} gives {', '.join(outputs)}, and no classes"
        raise ModelError(what, fix="predict() in place of classify()")
    rows = tuple(tuple(row) for row in outputs["probabilities"])
    return Answer(tuple(outputs[name]), rows, tuple(map(bool, outputs.get("is_sure", ()))))


def _import_ovmsclient() -> types.ModuleType:
    """The module ovmsclient, which is imported when it is needed.

    Raises:
        FlagError: it is not installed.
    """
    try:
        import ovmsclient
    except ModuleNotFoundError as error:
        what = f"gRPC needs the package {error.name!r}, which is not installed"
        raise FlagError(
            what, fix="pip install -e '.[serving]' in the clone of tltf, or RestClient"
        ) from error
    return ovmsclient


def _columns(items: Items) -> dict[str, list[bytes | str]]:
    """Input name -> its values; {} if there are none.

    Raises:
        DataError: values of several kinds, or columns of several lengths.
    """
    if not isinstance(items, collections.abc.Mapping):
        part = list(items)
        return {_input_name(part): part} if part else {}
    columns = {name: list(part) for name, part in items.items()}
    counts = {name: len(part) for name, part in columns.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"the inputs have different lengths: {counts}")
    for part in columns.values():
        _input_name(part or [""])
    return columns if any(counts.values()) else {}


def _input_name(items: Sequence[bytes | str]) -> str:
    """The name of the input for items of one kind.

    Raises:
        DataError: items of several kinds, or of another kind.
    """
    kinds = {type(item) for item in items}
    if kinds == {bytes}:
        return IMAGE_INPUT
    if kinds == {str}:
        return TEXT_INPUT
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise DataError(f"takes texts (str) or encoded images (bytes), not a mix (received {names})")


def _decodable(item: bytes) -> bytes:
    """Image bytes that TensorFlow on the server can decode; without Pillow they are not converted."""
    try:
        from tltf.data.images import conversion
    except ImportError:
        return item
    return conversion.make_decodable(item)


def _encoded(item: bytes | str) -> bytes:
    return _decodable(item) if isinstance(item, bytes) else item.encode("utf-8", "replace")


def _json_value(item: bytes | str) -> dict[str, str] | str:
    if isinstance(item, bytes):
        return {"b64": base64.b64encode(_decodable(item)).decode("ascii")}
    return _encoded(item).decode("utf-8")


def _refusal(status: int, body: bytes, url: str) -> TltfError:
    """The error that stands for a server's answer with an HTTP status that is not a success."""
    try:
        what = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        what = body.decode("utf-8", "replace").strip()
    kinds: dict[int, type[TltfError]] = {400: DataError, 404: ModelError}
    kind = kinds.get(status, StorageError)
    return kind(f"the server answered with status {status}: {what}", place=url)


def _message_of(error: Exception) -> str:
    return " ".join(str(part) for part in error.args) or type(error).__name__
