"""Sending to a collector with OpenTelemetry's SDK, configured by the `OTEL_*` variables that it knows.

A batch is sent before the next one is made, by the process that follows the capture: what waits is in the
capture, and no queue can grow. A batch that the collector does not take within the exporter's time (ten
seconds, with its own tries in between) is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, Literal

from opentelemetry.context import Context as SdkContext
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from wsinspect.capture.records import Connection
from wsinspect.telemetry.spans import Context, SpanFacts
from wsinspect.text import counted, escape
from wsinspect.version import __version__
from wsinspect.wire.opcodes import opcode_name

Protocol = Literal["http/protobuf", "grpc"]
#: Spans of one request.
BATCH: Final = 512
_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG: Final = (0.1, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
#: gRPC's words end with the reason, behind a code and the address.
_GRPC: Final = re.compile(r"error details: (?:.*last error: )?(?:[A-Z_]+: )?(?:ipv[46]:\S+: )?(.*)$", re.I)
#: What a server says that speaks the other protocol: HTTP/1.1 to gRPC, HTTP/2 to HTTP, plain to TLS.
_OTHER_PROTOCOL: Final = (
    ("Expected SETTINGS frame", "it does not speak gRPC: use http://, usually port 4318"),
    ("BadStatusLine('\\x00\\x00", "it speaks gRPC: use grpc://, usually port 4317"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: use grpc:// or http://"),
)
#: What the SDK's words end with where it tries once more: it may not come to that.
_NEXT_TRY: Final = re.compile(r",? retrying in [\d.]+ ?s\.?$")
#: ... how it wraps the reason, the reason of a failed call of the system, and what it says last without one.
_WRAPPED: Final = re.compile(r"^Transient error (.*?) encountered while exporting \w+(?: batch)?$", re.DOTALL)
_ERRNO: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)")
_NO_REASON: Final = "due to timeout, max retries or shutdown"
#: Characters of a reason: whoever answers in a collector's place can make one of any length.
_REASON: Final = 160
_SIDES: Final = ("c2s", "s2c")


class _Ids(IdGenerator):
    """The ids that a span is to have; a trace id is asked for where it has no parent."""

    def __init__(self) -> None:
        self.context = Context(1, 1)

    def generate_trace_id(self) -> int:
        return self.context.trace_id

    def generate_span_id(self) -> int:
        return self.context.span_id


class _Ended(SpanProcessor):
    """Gathers what a tracer has made."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class _LastWords(logging.Handler):
    """The reason that the SDK gives last, short, instead of a log on stderr.

    Spans and metrics are sent by threads of their own: each has its own last words.
    """

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    @property
    def text(self) -> str:
        return getattr(self._of_thread, "text", "")

    @text.setter
    def text(self, text: str) -> None:
        self._of_thread.text = text

    def emit(self, record: logging.LogRecord) -> None:
        text = _NEXT_TRY.sub("", record.getMessage()).rstrip(".")
        if _NO_REASON in text and self.text:
            return
        if (other := next((words for said, words in _OTHER_PROTOCOL if said in text), None)) is not None:
            self.text = other
            return
        if (reason := _GRPC.search(text)) is not None and reason[1]:
            text = reason[1].removeprefix("Failed to connect to remote host: ").strip()
            text = text[:1].lower() + text[1:]
        if (failed := _ERRNO.search(text)) is not None:
            text = failed[1].strip().lower()
        else:
            text = _WRAPPED.sub(r"\1", text)
        self.text = escape(text if len(text) <= _REASON else f"{text[:_REASON]}...")


class _WatchedHttp(HttpMetrics):
    """Says whether metrics were taken: the reader that sends them does not."""

    tell: Callable[[bool], None]

    def export(self, *arguments: Any, **options: Any) -> MetricExportResult:
        result = super().export(*arguments, **options)
        self.tell(result is MetricExportResult.SUCCESS)
        return result


class _WatchedGrpc(GrpcMetrics):
    """The same over gRPC."""

    tell: Callable[[bool], None]

    def export(self, *arguments: Any, **options: Any) -> MetricExportResult:
        result = super().export(*arguments, **options)
        self.tell(result is MetricExportResult.SUCCESS)
        return result


class Collector:
    """A collector, and the meters of `Follower`.

    Args:
        protocol: how it is spoken to, where no variable says it of a signal; where is in the variables.
        source: what tells the capture from all others.
        say: a line for the user.

    Attributes:
        dropped: spans that were not sent.
        sending: spans of the request that is not answered yet.
    """

    def __init__(self, protocol: Protocol, source: str, say: Callable[[str], None]) -> None:
        self.dropped = self.sending = 0
        self._say = say
        self._is_down = self._is_without_metrics = False
        self._words = _LastWords()
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._words)
        logger.propagate = False
        resource = _resource(source)
        self._ids, self._ended = _Ids(), _Ended()
        # What is sampled elsewhere says nothing about the connections here, unless the user says so.
        sampler = None if "OTEL_TRACES_SAMPLER" in os.environ else ALWAYS_ON
        provider = TracerProvider(sampler, resource, shutdown_on_exit=False, id_generator=self._ids)
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("wsinspect", __version__)
        self._spans: SpanExporter | None = None
        if _is_wanted("TRACES"):
            self._spans = GrpcSpans() if _protocol("TRACES", protocol) == "grpc" else HttpSpans()
        readers = []
        if _is_wanted("METRICS"):
            is_grpc = _protocol("METRICS", protocol) == "grpc"
            exporter = _WatchedGrpc() if is_grpc else _WatchedHttp()
            exporter.tell = self._metrics_sent
            readers.append(PeriodicExportingMetricReader(exporter))
        self._meters = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._make_instruments()

    @property
    def last_words(self) -> str:
        """Why something was not sent."""
        return self._words.text

    # -- spans

    def send(self, spans: Iterable[SpanFacts]) -> None:
        """Send spans; those that cannot be sent are counted."""
        left = iter(spans)
        while batch := [*islice(left, BATCH)]:
            self._send(batch)

    def _send(self, batch: Sequence[SpanFacts]) -> None:
        for one in batch:
            self._make(one)
        made, self._ended.spans = self._ended.spans, []
        if not made or self._spans is None:
            return
        self.sending = len(made)
        result = self._spans.export(made)
        self.sending = 0
        if result is SpanExportResult.SUCCESS:
            if self._is_down:
                self._is_down = False
                self._say(f"the collector takes spans again; {counted(self.dropped, 'span')} dropped so far")
            return
        self.dropped += len(made)
        self._drops.add(len(made))
        if not self._is_down:
            self._is_down = True
            self._say(f"the collector does not take spans ({self.last_words}); they are dropped and counted")

    def _make(self, one: SpanFacts) -> None:
        context, self._ids.context = one.context, one.context
        parent = SdkContext()
        if context.parent_id is not None:
            flags = TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT)
            of = SpanContext(context.trace_id, context.parent_id, is_remote=True, trace_flags=flags)
            parent = set_span_in_context(NonRecordingSpan(of), parent)
        links = [Link(SpanContext(*context.link, is_remote=True))] if context.link is not None else []
        span = self._tracer.start_span(
            one.name, parent, SpanKind.SERVER, one.attributes, links, start_time=one.start_ns
        )
        for event in one.events:
            span.add_event(event.name, dict(event.attributes), timestamp=event.time_ns)
        if one.error is not None:
            span.set_status(Status(StatusCode.ERROR, one.error))
        span.end(one.end_ns)

    # -- metrics

    def _metrics_sent(self, is_taken: bool) -> None:
        """Some collectors take spans alone. One that takes nothing is said to by the spans."""
        if is_taken or self._is_without_metrics or self._is_down:
            return
        self._is_without_metrics = True
        self._say(
            f"the collector does not take metrics ({self.last_words});"
            " OTEL_METRICS_EXPORTER=none sends spans alone"
        )

    def _make_instruments(self) -> None:
        meter = self._meters.get_meter("wsinspect", __version__)
        self._active = meter.create_up_down_counter(
            "websocket.connection.active", "{connection}", "Connections and attempts that have not ended"
        )
        self._handshakes = meter.create_histogram(
            "websocket.handshake.duration",
            "s",
            "From the request to the answer",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._durations = meter.create_histogram(
            "websocket.connection.duration",
            "s",
            "From the 101 to the end",
            explicit_bucket_boundaries_advisory=_LONG,
        )
        self._frames = meter.create_counter("websocket.frames", "{frame}", "Frames relayed")
        self._bytes = meter.create_counter("websocket.io", "By", "Bytes of frames relayed, headers included")
        self._round_trips = meter.create_histogram(
            "websocket.ping.rtt",
            "s",
            "From a PING to its PONG",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._findings = meter.create_counter("wsinspect.findings", "{finding}", "Findings, by rule")
        self._faults = meter.create_counter("wsinspect.faults", "{fault}", "What faults did, by rule")
        self._drops = meter.create_counter("wsinspect.otlp.dropped", "{span}", "Spans that were not sent")

    def began(self, tap: str | None) -> None:
        self._active.add(1, _tap(tap))

    def ended(self, one: Connection) -> None:
        self._active.add(-1, _tap(one.tap))
        attributes: dict[str, Any] = {**_tap(one.tap), "websocket.state": one.state}
        answered = one.open_ns if one.open_ns is not None else one.closed_ns
        if one.attempt_ns is not None and answered is not None:
            status = {} if one.status is None else {"http.response.status_code": one.status}
            self._handshakes.record(max(0, answered - one.attempt_ns) / 1e9, attributes | status)
        if one.open_ns is not None and one.closed_ns is not None:
            for name, value in (("code", one.js_code), ("by", one.ended_by)):
                if value is not None:
                    attributes[f"websocket.{'close.code' if name == 'code' else 'ended_by'}"] = value
            self._durations.record(max(0, one.closed_ns - one.open_ns) / 1e9, attributes)

    def deleted(self, tap: str | None) -> None:
        self._active.add(-1, _tap(tap))

    def passed(self, tap: str | None, side: int, opcode: int, frames: int, size: int) -> None:
        attributes = {
            **_tap(tap),
            "websocket.direction": _SIDES[bool(side)],
            "websocket.opcode": opcode_name(opcode),
        }
        self._frames.add(frames, attributes)
        self._bytes.add(size, attributes)

    def round_trip(self, tap: str | None, leg: str, rtt_ns: int) -> None:
        self._round_trips.record(max(0, rtt_ns) / 1e9, {**_tap(tap), "websocket.leg": leg})

    def found(self, rule: str, severity: str) -> None:
        self._findings.add(1, {"wsinspect.finding.id": rule, "wsinspect.finding.severity": severity})

    def fault(self, rule: str, kind: str, count: int) -> None:
        self._faults.add(count, {"wsinspect.fault.rule": rule, "wsinspect.fault.kind": kind})

    def close(self) -> None:
        """Send the metrics once more, and close the connections."""
        words = self._words.text
        self._meters.shutdown()
        self._words.text = words
        if self._spans is not None:
            self._spans.shutdown()


def _resource(source: str) -> Resource:
    """Who sends: what the user's variables say comes first."""
    named = f"{os.environ.get('OTEL_RESOURCE_ATTRIBUTES', '')},"
    ours = {
        "service.version": __version__,
        "service.instance.id": source,
        "host.name": platform.node(),
    }
    if "OTEL_SERVICE_NAME" not in os.environ:
        ours["service.name"] = "wsinspect"
    return Resource.create({name: value for name, value in ours.items() if f"{name}=" not in named})


def _is_wanted(signal: str) -> bool:
    """`OTEL_TRACES_EXPORTER=none` and its like leave a signal out."""
    return os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() != "none"


def _protocol(signal: str, default: Protocol) -> str:
    """How a signal is sent: a variable of its own counts more than that of all."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or default


def _tap(tap: str | None) -> dict[str, str]:
    return {} if tap is None else {"wsinspect.tap": tap}
