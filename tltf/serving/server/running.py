"""Starts a server on an export, and stops it in order: what waits is answered first."""

import contextlib
import socket
import sys
import threading
import time
from types import TracebackType

import tensorflow as tf
import uvicorn

from tltf.config.command_options import ServeOptions
from tltf.console import lines, signals
from tltf.errors import StorageError
from tltf.runs import layout, machine
from tltf.serving import served_folders
from tltf.serving.server import exported_model
from tltf.serving.server.app import App, Limits
from tltf.serving.server.batcher import Batcher
from tltf.serving.server.exported_model import ServedModel
from tltf.serving.server.metrics import Metrics

GRACE_S = 8
"""Seconds in which requests get their answers after the server was told to stop."""
START_TIMEOUT_S = 30.0
BACKLOG = 1024
"""Connections that the system keeps until they are accepted."""
MEGABYTE = 1 << 20


class EmbeddedServer:
    """A server in threads of this process, from `__enter__` to `__exit__`.

    Args:
        model: the model, loaded.
        options: those of `tltf.serve`; of them the address, the batching and the limits are read.

    Raises:
        StorageError: the address cannot be taken.
    """

    def __init__(self, model: ServedModel, options: ServeOptions) -> None:
        self._socket = _listen(options.host, options.port)
        metrics = Metrics(model.name, model.newest.number)
        self._batcher = Batcher(
            options.max_batch, options.max_wait_ms / 1000, num_workers(options), metrics
        )
        limits = Limits(options.max_queue, options.max_body_mb * MEGABYTE)
        config = uvicorn.Config(
            App(model, self._batcher, metrics, limits).asgi,
            log_config=None,  # the logging of the process stays as it is
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        serve = self._server.run
        self._thread = threading.Thread(target=serve, args=([self._socket],), name="http")

    @property
    def address(self) -> str:
        """`host:port`, with the port that the system chose where 0 was asked for."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def is_running(self) -> bool:
        """Whether the server takes requests."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Waits until the server has ended, or so many seconds."""
        self._thread.join(seconds)

    def __enter__(self) -> "EmbeddedServer":
        self._thread.start()
        end = time.monotonic() + START_TIMEOUT_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._batcher.close()
        self._socket.close()


def serve(options: ServeOptions) -> None:
    """Serves an export until a signal says stop.

    Raises:
        FlagError: there is no export, or a version or a label is not there.
        ModelError: the export is damaged.
        StorageError: the address cannot be taken.
    """
    if options.num_threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.num_threads)
    model = load_model(options)
    stopped = contextlib.suppress(KeyboardInterrupt)  # a server ends in no other way
    with stopped, signals.defer_signals(), EmbeddedServer(model, options) as server:
        url = f"http://{server.address}/v1/models/{model.name}"
        lines.say("serving", f"{url}  version {', '.join(map(str, sorted(model.versions)))}")
        print(url, file=sys.stdout, flush=True)
        while server.is_running and not signals.is_end_requested():
            server.wait(0.1)
        lines.say("serving", "stopping: what waits is answered first")


def load_model(options: ServeOptions) -> ServedModel:
    """The model that the options name, warmed up unless they say otherwise."""
    folder = served_folders.folder_of(options)
    versions = exported_model.load_versions(folder, options.versions)
    labels = exported_model.read_labels(options.labels, versions)
    for version in versions.values() if options.warmup else ():
        began = time.perf_counter()
        count = version.warm_up()
        if count:
            seconds = time.perf_counter() - began
            lines.say("warm-up", f"version {version.number}: {count} requests, {seconds:.1f} s")
    name = options.name or layout.served_name(options.run or folder)
    return ServedModel(name, versions, labels)


def num_workers(options: ServeOptions) -> int:
    """The batches that are computed at the same time: one per core unless the options say."""
    return options.num_workers or machine.this_machine().cores


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        StorageError: the address cannot be taken.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"{host}:{port} cannot be taken: {error.strerror or error}"
        raise StorageError(what, flag="port", fix="--port=0 takes a free one") from error
    # asyncio sets this only where the socket names its protocol. Without it the body of an answer waits
    # until the client has acknowledged the header, which takes 40 ms. Accepted sockets inherit it.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
