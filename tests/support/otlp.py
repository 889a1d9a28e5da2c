"""An OTLP receiver, as a collector has one, over HTTP and gRPC; OpenTelemetry's own messages decode."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


class Span(NamedTuple):
    """A span that arrived; ids in hexadecimal, attributes as plain values."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]
    links: list[tuple[str, str]]
    is_error: bool
    resource: dict[str, Any]

    def event(self, name: str) -> tuple[str, int, dict[str, Any]]:
        """The only event of a name."""
        (found,) = [one for one in self.events if one[0] == name]
        return found


class Point(NamedTuple):
    """A point of a metric: its value, or of a histogram the sum, and how many `times` something was added."""

    attributes: dict[str, Any]
    value: float
    times: int


class Receiver:
    """What arrived.

    Attributes:
        url: of the server.
        status: that requests over HTTP get; 200 takes them.
        metrics_status: the same of metrics alone.
        spans: in the order in which they arrived.
        metrics: the newest points by name.
        headers: of the last request over HTTP.
        raw: all bodies, decompressed.
    """

    def __init__(self) -> None:
        self.url = ""
        self.status = self.metrics_status = 200
        self.spans: list[Span] = []
        self.metrics: dict[str, list[Point]] = {}
        self.headers: dict[str, str] = {}
        self.raw: list[bytes] = []
        self.refused = 0
        self._changed = threading.Condition()

    def wait_for(self, is_there: Callable[[Receiver], object], timeout: float = 30.0) -> None:
        """Wait until a condition holds.

        Raises:
            AssertionError: it does not.
        """
        with self._changed:
            assert self._changed.wait_for(lambda: bool(is_there(self)), timeout), (self.spans, self.metrics)

    def total(self, name: str, attributes: Mapping[str, Any] | None = None) -> float:
        """The sum of a metric's points with these attributes; of a histogram how many were added up."""
        wanted = (attributes or {}).items()
        points = self.metrics.get(name, ())
        return sum(one.times or one.value for one in points if wanted <= one.attributes.items())

    def take_spans(self, request: ExportTraceServiceRequest) -> None:
        with self._changed:
            for of in request.resource_spans:
                resource = _values(of.resource.attributes)
                self.spans += [_span(one, resource) for scope in of.scope_spans for one in scope.spans]
            self._changed.notify_all()

    def take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        with self._changed:
            for of in request.resource_metrics:
                for scope in of.scope_metrics:
                    for one in scope.metrics:
                        self.metrics[one.name] = [*_points(one)]
            self._changed.notify_all()

    def refuse(self) -> None:
        with self._changed:
            self.refused += 1
            self._changed.notify_all()


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver over HTTP."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.headers = dict(self.headers.items())
            answer = b""
            status = receiver.status
            if status == 200 and self.path == "/v1/metrics":
                status = receiver.metrics_status
            if status != 200:
                receiver.refuse()
            elif self.path == "/v1/traces":
                receiver.raw.append(body)
                receiver.take_spans(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
            elif self.path == "/v1/metrics":
                receiver.raw.append(body)
                receiver.take_metrics(ExportMetricsServiceRequest.FromString(body))
                answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def receiving_grpc(*, has_metrics: bool = True) -> Iterator[Receiver]:
    """A receiver over gRPC; one of tracing alone does not know the service for metrics."""
    receiver = Receiver()

    class Traces(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
            receiver.raw.append(request.SerializeToString())
            receiver.take_spans(request)
            return ExportTraceServiceResponse()

    class Metrics(MetricsServiceServicer):
        def Export(self, request: ExportMetricsServiceRequest, context: Any) -> ExportMetricsServiceResponse:
            receiver.raw.append(request.SerializeToString())
            receiver.take_metrics(request)
            return ExportMetricsServiceResponse()

    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    add_TraceServiceServicer_to_server(Traces(), server)
    if has_metrics:
        add_MetricsServiceServicer_to_server(Metrics(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    receiver.url = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()
        pool.shutdown()


def _span(one: Any, resource: dict[str, Any]) -> Span:
    return Span(
        one.name,
        one.trace_id.hex(),
        one.span_id.hex(),
        one.parent_span_id.hex(),
        one.start_time_unix_nano,
        one.end_time_unix_nano,
        _values(one.attributes),
        [(event.name, event.time_unix_nano, _values(event.attributes)) for event in one.events],
        [(link.trace_id.hex(), link.span_id.hex()) for link in one.links],
        one.status.code == 2,
        resource,
    )


def _points(metric: Any) -> Iterator[Point]:
    kind = metric.WhichOneof("data")
    for one in getattr(metric, kind).data_points:
        if kind == "histogram":
            yield Point(_values(one.attributes), one.sum, one.count)
        else:
            yield Point(_values(one.attributes), one.as_int or one.as_double, 0)


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
