"""The HTTP side of the server: paths and statuses of TF Serving's REST interface, as an ASGI app.

| path | answer |
|---|---|
| GET /v1/models/NAME | the state of each version; so too /versions/N and /labels/LABEL behind it |
| GET .../metadata | the signatures |
| POST .../NAME:predict | the outputs of a signature |
| GET /metrics | figures for Prometheus; also at TF Serving's own path |
"""

import asyncio
import concurrent.futures
import dataclasses
import json
import re
import time
from typing import Any

import tensorflow as tf
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tltf.errors import printable
from tltf.serving.server import metrics as server_metrics
from tltf.serving.server import rest_json
from tltf.serving.server.batcher import Batcher, RefusedPart
from tltf.serving.server.exported_model import LoadedVersion, ServedModel
from tltf.serving.server.metrics import Metrics

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(?P<call>/metadata|:predict)?"
)
METRICS_PATHS = ("/metrics", "/monitoring/prometheus/metrics")
LARGE_BODY_BYTES = 1 << 16
"""A larger body is read as JSON in a thread, so that other requests are not held up."""
DRAINED = 4
"""A body beyond the limit is read up to so many times the limit, so that its sender sees the 413."""
BODY_TIMEOUT_S = 30.0
"""Seconds within which a body has to arrive."""
MOST_MESSAGE = 1000


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    Args:
        requests: predict requests at the same time; one more is answered with 429.
        body_bytes: bytes of a body; more are answered with 413.
    """

    requests: int
    body_bytes: int


class Refused(Exception):
    """A request that gets a status other than 200, with a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class App:
    """The application.

    Args:
        model: the model.
        batcher: what computes.
        metrics: what counts.
        limits: what is taken at most.
    """

    def __init__(
        self, model: ServedModel, batcher: Batcher, metrics: Metrics, limits: Limits
    ) -> None:
        self._model, self._batcher, self._metrics, self._limits = model, batcher, metrics, limits
        self._num_in_flight = 0
        routes = [Route(path, self._metrics_page, methods=["GET"]) for path in METRICS_PATHS]
        routes.append(Route("/{path:path}", self._answer, methods=["GET", "POST"]))
        self.asgi = Starlette(routes=routes)

    async def _metrics_page(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=server_metrics.CONTENT_TYPE)

    async def _answer(self, request: Request) -> Response:
        """The answer to any path, an error as TF Serving writes it."""
        began, call = time.perf_counter(), "other"
        try:
            found = _PATH.fullmatch(request.url.path)
            if not found:
                raise Refused(404, f"Malformed request: {request.method} {request.url.path}")
            call = (found["call"] or "/status")[1:]
            if request.method != ("POST" if call == "predict" else "GET"):
                raise Refused(405, f"{call} does not take {request.method}")
            version = self._version(found)
            if call == "predict":
                content = await self._predict(request, version or self._model.newest)
            else:
                content = self._describe(call, version)
            response = Response(content, media_type="application/json")
        except Refused as refused:
            response = _refusal(refused)
        except ClientDisconnect:
            response = Response(status_code=499)  # nobody reads it; it is counted
        except Exception as error:  # a fault of the server must not end it, nor show its insides
            response = _refusal(Refused(500, f"the server failed: {type(error).__name__}"))
        seconds = time.perf_counter() - began if call == "predict" else None
        self._metrics.request(call, response.status_code, seconds)
        return response

    def _version(self, found: "re.Match[str]") -> LoadedVersion | None:
        """The version that a path names; None where it names none."""
        name, model = found["name"], self._model
        if name != model.name:
            raise Refused(404, f"Servable not found for request: Latest({name})")
        if found["label"] is not None:
            if found["label"] not in model.labels:
                raise Refused(404, f"Unrecognized servable version label: {found['label']}")
            return model.versions[model.labels[found["label"]]]
        if found["version"] is None:
            return None
        if int(found["version"]) not in model.versions:
            version = found["version"]
            raise Refused(404, f"Servable not found for request: Specific({name}, {version})")
        return model.versions[int(found["version"])]

    def _describe(self, call: str, version: LoadedVersion | None) -> bytes:
        """The state of the versions, or the signatures of one."""
        if call == "status":
            numbers = [version.number] if version else sorted(self._model.versions, reverse=True)
            status = {"error_code": "OK", "error_message": ""}
            states = [{"version": str(n), "state": "AVAILABLE", "status": status} for n in numbers]
            return _json({"model_version_status": states})
        version = version or self._model.newest
        spec = {"name": self._model.name, "signature_name": "", "version": str(version.number)}
        return _json({"model_spec": spec, "metadata": rest_json.signatures_json(version)})

    async def _predict(self, request: Request, version: LoadedVersion) -> bytes:
        """The body of the answer to a predict request, while fewer than the limit have none."""
        if self._num_in_flight >= self._limits.requests:
            what = f"{self._num_in_flight} requests wait already, as many as the server takes"
            raise Refused(429, what)
        self._num_in_flight += 1
        self._metrics.in_flight(self._num_in_flight)
        try:
            body = await self._body(request)
            is_large = len(body) > LARGE_BODY_BYTES
            read = rest_json.read_request
            parsed = (
                await asyncio.to_thread(read, body, version) if is_large else read(body, version)
            )
            future = self._batcher.submit(version, parsed.signature, parsed.arrays)
            outputs = await asyncio.wrap_future(future)
            return rest_json.write_answer(outputs, parsed.is_row_format)
        except (rest_json.BadRequest, RefusedPart) as error:
            raise Refused(400, str(error)) from error
        except tf.errors.InvalidArgumentError as error:
            raise Refused(400, _first_lines(error.message)) from error
        except (RuntimeError, concurrent.futures.CancelledError) as error:
            raise Refused(503, "the server is stopping") from error
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise Refused(503, "the server has too little memory for this request") from error
        finally:
            self._num_in_flight -= 1
            self._metrics.in_flight(self._num_in_flight)

    async def _body(self, request: Request) -> bytes:
        """The body of a request, if it is not too large and arrives in time."""
        most, parts, size = self._limits.body_bytes, list[bytes](), 0
        claimed = request.headers.get("content-length", "")
        if claimed.isdecimal() and int(claimed) > DRAINED * most:
            raise Refused(413, f"the body has {claimed} bytes, more than {most}")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for part in request.stream():
                    size += len(part)
                    if size > DRAINED * most:
                        break
                    if size <= most:
                        parts.append(part)
        except TimeoutError as error:
            raise Refused(408, f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from error
        if size > most:
            raise Refused(413, f"the body has more than {most} bytes")
        return b"".join(parts)


def _refusal(refused: Refused) -> Response:
    """The answer that says why there is none; the connection ends where a body was not read."""
    headers = {"Retry-After": "1"} if refused.status in (429, 503) else {}
    if refused.status in (408, 413):
        headers["Connection"] = "close"
    content = _json({"error": printable(refused.message)[:MOST_MESSAGE]})
    return Response(content, refused.status, headers, "application/json")


def _first_lines(message: str) -> str:
    """TensorFlow's message without the places in its graph that follow it."""
    return message.split("\n\t [[")[0].strip()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
