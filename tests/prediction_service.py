"""A model server in this process: TF Serving's gRPC and REST interfaces over a SavedModel.

It has no batching and no queue. It answers what TF Serving documents, with its status codes.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import re
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)


class Refused(Exception):
    """A request that gets a status other than OK."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Models:
    """Exported models by name: name -> folder of integer versions, as TF Serving reads it."""

    def __init__(self, folders):
        self._loaded = {
            name: {
                int(path.name): tf.saved_model.load(str(path), tags=["serve"]).signatures
                for path in folder.iterdir()
                if path.name.isdecimal()
            }
            for name, folder in folders.items()
        }

    def signatures(self, name, version):
        """`(version, signatures)`; version 0 is the newest."""
        versions = self._loaded.get(name, {})
        number = version or max(versions, default=0)
        if number not in versions:
            message = f"Servable not found for request: Specific({name}, {version})"
            raise Refused(grpc.StatusCode.NOT_FOUND, message)
        return number, versions[number]

    def predict(self, name, version, signature_name, arrays):
        """`(version, output name -> array)`."""
        number, signatures = self.signatures(name, version)
        if signature_name not in signatures:
            message = f"Serving signature name: {signature_name!r} not found"
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, message)
        signature = signatures[signature_name]
        specs = signature.structured_input_signature[1]
        _check(specs, arrays)
        try:
            outputs = signature(
                **{key: tf.constant(arrays[key], specs[key].dtype) for key in specs}
            )
        except tf.errors.InvalidArgumentError as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, error.message) from error
        return number, {key: value.numpy() for key, value in outputs.items()}


def _check(specs, arrays):
    if arrays.keys() != specs.keys():
        message = f"input size does not match signature: {sorted(arrays)} != {sorted(specs)}"
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
    for key, spec in specs.items():
        array = arrays[key]
        dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
        if dtype != spec.dtype or not spec.shape.is_compatible_with(array.shape):
            message = f"input {key} is {dtype.name}{array.shape}, not {spec.dtype.name}{spec.shape}"
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService over Models."""

    def __init__(self, models):
        self._models = models

    def Predict(self, request, context):
        spec = request.model_spec
        signature_name = spec.signature_name or "serving_default"
        arrays = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
        with _refusing(context):
            number, outputs = self._models.predict(
                spec.name, spec.version.value, signature_name, arrays
            )
            response = predict_pb2.PredictResponse()
            response.model_spec.name, response.model_spec.version.value = spec.name, number
            for key, value in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return response

    def GetModelMetadata(self, request, context):
        spec = request.model_spec
        with _refusing(context):
            number, signatures = self._models.signatures(spec.name, spec.version.value)
            found = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in signatures.items():
                definition = found.signature_def[name]
                _describe(definition.inputs, signature.structured_input_signature[1])
                _describe(definition.outputs, signature.structured_outputs)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name, response.model_spec.version.value = spec.name, number
            response.metadata["signature_def"].Pack(found)
            return response


def _describe(entries, specs):
    for key, spec in specs.items():
        entries[key].dtype = spec.dtype.as_datatype_enum
        entries[key].tensor_shape.CopyFrom(spec.shape.as_proto())


@contextlib.contextmanager
def _refusing(context):
    try:
        yield
    except Refused as refused:
        context.abort(refused.code, refused.message)


@contextlib.contextmanager
def serve_grpc(folders):
    """Serves `folders` (model name -> folder of versions); gives the address."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    service = Service(Models(folders))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def serve_rest(folders):
    """The same over REST's predict call in its columnar form."""
    models = Models(folders)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = _rest_answer(models, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"localhost:{server.server_port}"
        finally:
            server.shutdown()


def _rest_answer(models, path, body):
    name, version = re.fullmatch(r"/v1/models/(\w+)(?:/versions/(\d+))?:predict", path).groups()
    arrays = {
        key: np.array(
            [base64.b64decode(v["b64"]) if isinstance(v, dict) else v.encode() for v in values],
            object,
        )
        for key, values in body["inputs"].items()
    }
    try:
        _, outputs = models.predict(name, int(version or 0), "serving_default", arrays)
    except Refused as refused:
        status = 404 if refused.code == grpc.StatusCode.NOT_FOUND else 400
        return status, {"error": refused.message}
    labels = [label.decode() for label in outputs["label"].tolist()]
    return 200, {"outputs": {"label": labels, "probabilities": outputs["probabilities"].tolist()}}
