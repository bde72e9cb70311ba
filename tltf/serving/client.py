"""Asks a model server for answers, over REST or gRPC, without TensorFlow.

For a core that tltf.export wrote and TF Serving (or another server with its interface)
serves. REST needs nothing but Python; gRPC needs the extra `serving`.

    client = serving.RestClient("localhost:8501", "digits")
    client.classify([open("photo.jpg", "rb").read()]).labels
"""

import base64
import collections.abc
import dataclasses
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from tltf.errors import DataError, FlagError, ModelError, StorageError

IMAGE_INPUT, TEXT_INPUT = "image_bytes", "text"
Items = Sequence[bytes | str] | collections.abc.Mapping[str, Sequence[bytes | str]]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server said of classes or labels.

    Args:
        labels: one str an input; several labels as `cat|dog`.
        probabilities: for each input one float per class, in the order of class_names.txt.
    """

    labels: tuple
    probabilities: tuple


@dataclasses.dataclass(frozen=True)
class RestClient:
    """Classification over HTTP with JSON.

    Args:
        address: `host:port`, or a URL where there is a path or https.
        model: the model's name at the server.
        version: int; 0 takes the newest.
        timeout_s: seconds to wait for an answer.
    """

    address: str
    model: str
    version: int = 0
    timeout_s: float = 30.0

    def classify(self, items: Items) -> Answer:
        """The `Answer` for texts (str) or encoded images (bytes), all of one kind.

        A model of several texts for each input takes a dict of them: name -> list of str.

        Raises:
            DataError: the server refuses an input; its message names the position.
            ModelError: no such model or version.
            StorageError: no answer.
        """
        return _classes(self.predict(items), self.model)

    def predict(self, items: Items) -> dict[str, list[Any]]:
        """Output name -> list with an entry for each input: `value` and `quantiles`, for example.

        Items and errors are those of `classify`.
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
            what = f"no answer: {getattr(error, 'reason', error)}"
            raise StorageError(what, place=url, fix="check the address and the server") from error
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError("an answer that is none of TF Serving's", place=url) from error


@dataclasses.dataclass(frozen=True)
class GrpcClient:
    """Classification over gRPC; for arguments and errors see RestClient."""

    address: str
    model: str
    version: int = 0
    timeout_s: float = 30.0

    def classify(self, items: Items) -> Answer:
        """The `Answer` for texts (str) or encoded images (bytes), all of one kind."""
        return _classes(self.predict(items), self.model)

    def predict(self, items: Items) -> dict[str, list[Any]]:
        """Output name -> list with an entry for each input."""
        columns = _columns(items)
        if not columns:
            return {}
        ovmsclient, inputs = _ovmsclient(), {}
        for name, part in columns.items():
            inputs[name] = ovmsclient.make_tensor_proto([b"?"] * len(part))
            # ovmsclient makes numpy strings of bytes, which lose the zeros at their end
            inputs[name].string_val[:] = [_encoded(item) for item in part]
        client = ovmsclient.make_grpc_client(self.address)
        place = f"{self.address}/{self.model}"
        try:
            outputs = client.predict(inputs, self.model, self.version, self.timeout_s)
        except ovmsclient.ModelNotFoundError as error:
            raise ModelError(_said(error), place=place) from error
        except ovmsclient.InvalidInputError as error:
            raise DataError(_said(error), place=place) from error
        except (ovmsclient.ModelServerError, OSError) as error:  # TimeoutError is an OSError
            what = f"no answer: {_said(error)}"
            raise StorageError(what, place=place, fix="check the address and the server") from error
        found = {name: values.tolist() for name, values in outputs.items()}
        texts = {
            name: [text.decode("utf-8") for text in values]
            for name, values in found.items()
            if isinstance(values[0], bytes)
        }
        return found | texts


def _classes(outputs: dict[str, Any], model: str) -> Answer:
    """The Answer of a server's outputs; {} is that of no input.

    Raises:
        ModelError: the model gives no classes.
    """
    if not outputs:
        return Answer((), ())
    name = next((name for name in ("label", "labels") if name in outputs), "")
    if not name:
        what = f"{model} gives {', '.join(outputs)}, no classes"
        raise ModelError(what, fix="predict() in place of classify()")
    rows = tuple(tuple(row) for row in outputs["probabilities"])
    return Answer(tuple(outputs[name]), rows)


def _ovmsclient() -> Any:
    try:
        import ovmsclient
    except ModuleNotFoundError as error:
        what = f"gRPC needs the package {error.name!r}, which is not installed"
        raise FlagError(
            what, fix="pip install -e '.[serving]' in the clone of tltf, or RestClient"
        ) from error
    return ovmsclient


def _columns(items: Items) -> dict[str, list[bytes | str]]:
    """Input name -> its values; {} where there are none.

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
    kinds = {type(item) for item in items}
    if kinds == {bytes}:
        return IMAGE_INPUT
    if kinds == {str}:
        return TEXT_INPUT
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise DataError(f"takes texts (str) or encoded images (bytes), not a mix (received {names})")


def _decodable(item: bytes) -> bytes:
    """Image bytes as the server's TensorFlow can decode them, where Pillow is there to convert them."""
    try:
        from tltf.data.images import conversion
    except ImportError:
        return item
    return conversion.decodable(item)


def _encoded(item: bytes | str) -> bytes:
    return _decodable(item) if isinstance(item, bytes) else item.encode("utf-8", "replace")


def _json_value(item: bytes | str) -> dict[str, str] | str:
    if isinstance(item, bytes):
        return {"b64": base64.b64encode(_decodable(item)).decode("ascii")}
    return _encoded(item).decode("utf-8")


def _refusal(status: int, body: bytes, url: str) -> Any:
    try:
        what = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        what = body.decode("utf-8", "replace").strip()
    kinds = {400: DataError, 404: ModelError}
    return kinds.get(status, StorageError)(f"the server said {status}: {what}", place=url)


def _said(error: Any) -> str:
    return " ".join(str(part) for part in error.args) or type(error).__name__
