"""Figures for Prometheus, at an address of their own, because they are not for the registry's clients."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from roar_publisher.registry.api.requests import Handled, Observer
from roar_publisher.registry.store.sessions import Staged

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
"""Clients choose the method, and every value of a label takes memory for ever."""
FINALIZE = "/finalize"
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Upper bounds of the latencies that are distinguished, in seconds."""


class Metrics(Observer):
    """The figures of one process, or with `shared`, of all workers (`workers.shared_figures`)."""

    def __init__(self, *, shared: bool = False) -> None:
        prefix, collected = "roar_registry_", CollectorRegistry()
        self.collected = CollectorRegistry() if shared else collected
        if shared:
            MultiProcessCollector(self.collected)  # type: ignore[no-untyped-call]
        labels = ("method", "route", "status")
        self._requests = Counter(f"{prefix}requests", "Requests that were answered.", labels, registry=collected)
        self._seconds = Histogram(
            f"{prefix}request_seconds", "Time to the end of a reply.", ("route",), buckets=BUCKETS, registry=collected
        )
        self._bytes = Counter(f"{prefix}body_bytes", "Bytes of accepted bodies.", ("route",), registry=collected)
        self._finalizes = Counter(f"{prefix}finalizes", "Finalizes by status.", ("status",), registry=collected)
        self._sweeps = Counter(f"{prefix}sweeps", "Transactions that removed expired data.", registry=collected)
        open_now, staged_now = "Open registration sessions.", "Bytes staged in open sessions."
        self._sessions, self._staged = (
            Gauge(f"{prefix}{name}", text, registry=collected, multiprocess_mode="livemostrecent")
            for name, text in (("open_sessions", open_now), ("staged_bytes", staged_now))
        )
        waiting = "Calls that wait for the store, or are at work."
        self._queue = Gauge(f"{prefix}store_queue", waiting, registry=collected, multiprocess_mode="livesum")

    def handled(self, handled: Handled) -> None:
        method = handled.method if handled.method in METHODS else "other"
        self._requests.labels(method, handled.route, handled.status).inc()
        self._seconds.labels(handled.route).observe(handled.seconds)
        if 200 <= handled.status < 300:
            self._bytes.labels(handled.route).inc(handled.body_bytes)
        if handled.route.endswith(FINALIZE):
            self._finalizes.labels(handled.status).inc()

    def swept(self) -> None:
        self._sweeps.inc()

    def queued(self, calls: int) -> None:
        self._queue.set(calls)

    def staged(self, staged: Staged) -> None:
        self._sessions.set(staged.sessions)
        self._staged.set(staged.bytes)

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[str]:
        """Answer `/metrics` during the block. Return the URL. Raises OSError."""
        server, thread = start_http_server(port, host, self.collected)
        try:
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
