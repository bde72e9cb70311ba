"""The figures that Prometheus reads from a server: requests, times, batches, the queue."""

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The upper bounds of the histograms."""
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


class Metrics:
    """The figures of one server, which are its own, not the process's.

    Args:
        model: the name of the model.
        version: the version that answers where none is asked for.
    """

    def __init__(self, model: str, version: int) -> None:
        registry = self._registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self._requests = Counter(
            "tltf_requests_total",
            "Requests by path and status.",
            ["call", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "tltf_request_seconds",
            "Time of a predict request, from its first byte to its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "tltf_batch_rows", "Rows that were computed at once.", buckets=ROWS, registry=registry
        )
        self._batch_requests = Histogram(
            "tltf_batch_requests", "Requests of a batch.", buckets=ROWS, registry=registry
        )
        self._batch_seconds = Histogram(
            "tltf_batch_seconds", "Time of computing a batch.", buckets=SECONDS, registry=registry
        )
        self._queue = Gauge("tltf_queue_requests", "Requests that wait.", registry=registry)
        self._in_flight = Gauge(
            "tltf_requests_in_flight", "Predict requests without an answer.", registry=registry
        )
        served = Gauge(
            "tltf_model_version", "The newest version served.", ["model"], registry=registry
        )
        served.labels(model).set(version)

    def request(self, call: str, status: int, seconds: float | None = None) -> None:
        """A request was answered; `seconds` for those of predict."""
        self._requests.labels(call, str(status)).inc()
        if seconds is not None:
            self._seconds.observe(seconds)

    def in_flight(self, count: int) -> None:
        """So many predict requests have no answer yet."""
        self._in_flight.set(count)

    def batch(self, num_requests: int, num_rows: int, seconds: float) -> None:
        """A batch was computed."""
        self._batch_requests.observe(num_requests)
        self._batch_rows.observe(num_rows)
        self._batch_seconds.observe(seconds)

    def queue(self, num_requests: int) -> None:
        """So many requests wait now."""
        self._queue.set(num_requests)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        return prometheus_client.generate_latest(self._registry)
