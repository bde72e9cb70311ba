"""Clients that ask a model server for answers, over REST or gRPC, without TensorFlow.

They are for a model that tltf.export wrote and that TF Serving, or another server with its
interface, serves. REST needs only the standard library of Python; gRPC needs the extra `serving`.

    client = serving.RestClient("localhost:8501", "digits")
    client.classify([open("photo.jpg", "rb").read()]).labels
"""

import base64
import collections.abc
import dataclasses
import functools
import http.client
import json
import types
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from tltf.errors import DataError, FlagError, ModelError, StorageError, TltfError
from tltf.serving.retries import TryAgain, with_retries

IMAGE_INPUT, TEXT_INPUT = "image_bytes", "text"
"""The names of the input of an exported model that takes images, or texts of one field."""
ABOUT, ABOUT_KEY = "about", "key"
"""The signature, and the output, with which an export tells what it is; and the signature's input."""
BUSY_STATUSES = (429, 502, 503, 504)
"""The HTTP statuses of a server that may answer later."""
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

    A server that is busy or not there is asked again, after longer and longer pauses.

    Args:
        address: `host:port`, or a URL if the server has a path or uses https.
        model: the name of the model on the server.
        version: version of the model; 0 takes the newest.
        timeout_s: seconds to wait for an answer.
        retries: how often a request is sent again.
        label: the label of a version, in place of its number.
    """

    address: str
    model: str
    version: int = 0
    timeout_s: float = 30.0
    retries: int = 2
    label: str = ""

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
        return self._outputs({"inputs": inputs})

    def describe(self) -> tuple[str, int]:
        """`(JSON of what the model tells of itself, version)` of the version that answers.

        Raises:
            ModelError: there is no such model or version, or it tells nothing of itself.
            StorageError: the server does not answer.
        """
        status = self._ask(self._url(), None)
        try:
            states = status["model_version_status"]
            ready = [int(s["version"]) for s in states if s["state"] == "AVAILABLE"]
        except (KeyError, TypeError, ValueError) as error:
            raise _strange_answer(self._url()) from error
        if not ready:
            raise ModelError("no version of the model is ready to answer", place=self._url())
        body = {"signature_name": ABOUT, "inputs": {ABOUT_KEY: [""]}}
        pinned = dataclasses.replace(self, version=max(ready), label="")
        try:
            told = pinned._outputs(body)
        except DataError as error:
            raise _tells_nothing(self._url()) from error
        return _only(told, self._url()), max(ready)

    def _outputs(self, body: dict[str, Any]) -> Any:
        url = f"{self._url()}:predict"
        answer = self._ask(url, json.dumps(body).encode())
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise _strange_answer(url)
        return answer["outputs"]

    def _url(self) -> str:
        """The URL of the model, without the call."""
        base = self.address if "://" in self.address else f"http://{self.address}"
        version = f"/versions/{self.version}" if self.version else ""
        version = f"/labels/{self.label}" if self.label else version
        return f"{base.rstrip('/')}/v1/models/{self.model}{version}"

    def _ask(self, url: str, body: bytes | None) -> Any:
        """The JSON that the server answers to a POST of a body, or to a GET without one."""
        return with_retries(lambda: self._send(url, body), self.retries)

    def _send(self, url: str, body: bytes | None) -> Any:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            refusal = _refusal(error.code, error.read()[:10_000], url)
            if error.code in BUSY_STATUSES:
                wait_s = error.headers.get("Retry-After", "")
                raise TryAgain(refusal, float(wait_s) if wait_s.isdecimal() else 0.0) from error
            raise refusal from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            what = f"the server gives no answer: {reason}"
            fault = StorageError(what, place=url, fix="check the address and the server")
            if isinstance(reason, TimeoutError):
                raise fault from error
            raise TryAgain(fault) from error
        except ValueError as error:
            raise _strange_answer(url) from error


@dataclasses.dataclass(frozen=True)
class GrpcClient:
    """A client that asks a server over gRPC; for arguments and errors see RestClient."""

    address: str
    model: str
    version: int = 0
    timeout_s: float = 30.0
    retries: int = 2
    label: str = ""

    def classify(self, items: Items) -> Answer:
        """The `Answer` for texts (str) or encoded images (bytes), all of one kind."""
        return _classes(self.predict(items), self.model)

    def predict(self, items: Items) -> dict[str, list[Any]]:
        """Output name -> list with one entry per input."""
        columns = _columns(items)
        if not columns:
            return {}
        encoded = {name: [_encoded(item) for item in part] for name, part in columns.items()}
        return self._ask(encoded, "")[0]

    def describe(self) -> tuple[str, int]:
        """`(JSON of what the model tells of itself, version)`; see RestClient."""
        place = f"{self.address}/{self.model}"
        try:
            told, version = self._ask({ABOUT_KEY: [b""]}, ABOUT)
        except (DataError, StorageError) as error:
            if isinstance(error, StorageError) and ABOUT not in error.what:
                raise
            raise _tells_nothing(place) from error
        return _only(told, place), version

    def _ask(
        self, inputs: dict[str, list[bytes]], signature: str
    ) -> tuple[dict[str, list[Any]], int]:
        """`(output name -> list, version)` of a signature; empty for `serving_default`."""
        ovmsclient, place = _import_ovmsclient(), f"{self.address}/{self.model}"
        from ovmsclient.tfs_compat.grpc import requests, responses

        protos = {}
        for name, part in inputs.items():
            protos[name] = ovmsclient.make_tensor_proto([b"?"] * len(part))
            # ovmsclient would make numpy strings of the bytes, which lose the zeros at their end.
            protos[name].string_val[:] = part
        request = requests.make_predict_request(protos, self.model, self.version).raw_request
        request.model_spec.signature_name = signature
        if self.label:
            request.model_spec.version_label = self.label
        if not self.version and not self.label:
            request.model_spec.ClearField("version")
        answer = with_retries(lambda: self._send(request, place), self.retries)
        found = responses.GrpcPredictResponse(answer).to_dict()["outputs"]
        if not isinstance(found, dict):  # ovmsclient leaves out the name of a single output
            found = {next(iter(answer.outputs)): found}
        lists = {name: values.tolist() for name, values in found.items()}
        texts = {
            name: [text.decode("utf-8") for text in values]
            for name, values in lists.items()
            if values and isinstance(values[0], bytes)
        }
        return lists | texts, answer.model_spec.version.value

    def _send(self, request: Any, place: str) -> Any:
        import grpc

        try:
            return self._stub.Predict(request, self.timeout_s)
        except grpc.RpcError as error:
            raise _rpc_fault(error, place) from error

    @functools.cached_property
    def _stub(self) -> Any:
        """The connection, which is kept between requests."""
        return _import_ovmsclient().make_grpc_client(self.address).prediction_service_stub


def _rpc_fault(error: Any, place: str) -> Exception:
    """The error, or the request to try again, for a gRPC status that is not OK."""
    import grpc

    code, details = error.code(), error.details() or error.code().name
    if code == grpc.StatusCode.NOT_FOUND:
        return ModelError(details, place=place)
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return DataError(details, place=place)
    what = f"the server gives no answer: {details}"
    fault = StorageError(what, place=place, fix="check the address and the server")
    busy = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    return TryAgain(fault) if code in busy else fault


def _only(told: Any, place: str) -> str:
    """The text in the answer of the signature `about`, whose only output REST gives without a name."""
    texts = told.get(ABOUT) if isinstance(told, dict) else told
    if not isinstance(texts, list) or len(texts) != 1 or not isinstance(texts[0], str):
        raise _strange_answer(place)
    return texts[0]


def _tells_nothing(place: str) -> ModelError:
    what = (
        "the model does not tell what it is: it is not an export of tltf, or of an earlier version"
    )
    return ModelError(what, place=place, fix="python -m tltf.export --run=RUN, and serve that")


def _strange_answer(place: str) -> StorageError:
    return StorageError("the answer does not have the form of TF Serving's answers", place=place)


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
    kinds: dict[int, type[TltfError]] = {400: DataError, 404: ModelError, 413: DataError}
    kind = kinds.get(status, StorageError)
    return kind(f"the server answered with status {status}: {what}", place=url)
