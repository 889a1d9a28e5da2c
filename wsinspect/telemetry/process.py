"""The process that follows a capture for a collector: `python -m` this module `CAPTURE PROTOCOL [URL]`.

It ends by itself when the capture is whole. On SIGTERM it says what it could not send, and ends at once.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from wsinspect.capture.queries import every_meta
from wsinspect.capture.queries.telemetry import marks_before_run, newest
from wsinspect.capture.reader import Capture
from wsinspect.errors import WsinspectError
from wsinspect.findings.registry import all_rules
from wsinspect.recorder.following import looks
from wsinspect.telemetry.collector import Collector
from wsinspect.telemetry.following import Follower
from wsinspect.text import counted, escape

#: Between two looks at the capture.
_POLL_SECONDS: Final = 0.5


def follow(path: Path, protocol: str) -> int:
    """Send what there is, and what comes, until the capture is whole.

    Raises:
        CaptureError: the capture is damaged.
    """
    collector = follower = None
    for capture, is_last in looks(path, follow=True, every=_POLL_SECONDS):
        if collector is None:
            source = source_of(capture)
            collector = Collector("grpc" if protocol == "grpc" else "http/protobuf", source, _say)
            titles = {rule.id: rule.title for rule in all_rules()}
            follower = Follower(source, marks_before_run(capture), collector, titles)
            _say_on_term(path, collector, follower)
        assert follower is not None
        collector.send(follower.look(capture, time.time_ns(), is_last=is_last))
    if collector is not None:
        collector.close()
        _say_unsent(collector.dropped)
    return 0


def source_of(capture: Capture) -> str:
    """What tells a capture from all others: its name, and a digest of what its newest run says of itself."""
    rows = every_meta(capture)
    newest = max((row[0] for row in rows), default=0)
    about = [row for row in rows if row[0] == newest and row[1] in ("started_ns", "anchor_mono_ns", "argv")]
    digest = hashlib.sha256(json.dumps([platform.node(), about]).encode()).hexdigest()[:8]
    return f"{capture.path.stem}-{digest}"


def _say_on_term(path: Path, collector: Collector, follower: Follower) -> None:
    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        _say(f"the collector did not take everything in time ({collector.last_words or 'no answer'})")
        unsent = collector.dropped + collector.sending + follower.waiting
        with contextlib.suppress(WsinspectError), Capture.open(path) as capture:
            # While a send hangs no one looks at the capture: it may have more connections by now.
            unsent += max(0, newest(capture).connection - follower.newest)
        _say_unsent(unsent)
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)


def _say_unsent(spans: int) -> None:
    if spans:
        _say(f"{counted(spans, 'span')} not sent to the collector")


def _say(text: str) -> None:
    print(f"wsinspect: {escape(text)}", file=sys.stderr, flush=True)


def settle_endpoints(url: str | None) -> None:
    """Make the variables say where to send, in words that the SDK knows.

    Args:
        url: of `--otlp`, which counts more than any variable; None without the option.
    """
    if url is not None:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
        for signal_ in ("TRACES", "METRICS"):
            os.environ.pop(f"OTEL_EXPORTER_OTLP_{signal_}_ENDPOINT", None)
    for signal_ in ("", "TRACES_", "METRICS_"):
        name = f"OTEL_EXPORTER_OTLP_{signal_}ENDPOINT"
        # The SDK takes any scheme but http for TLS.
        if (given := os.environ.get(name, "")).startswith("grpc"):
            os.environ[name] = given.replace("grpcs:", "https:", 1).replace("grpc:", "http:", 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="wsinspect.telemetry.process")
    parser.add_argument("capture", type=Path)
    parser.add_argument("protocol", choices=("http/protobuf", "grpc"))
    parser.add_argument("url", nargs="?")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settle_endpoints(options.url)
    if hasattr(os, "SCHED_BATCH"):
        # The relay has its turn first.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        return follow(options.capture, options.protocol)
    except WsinspectError as error:
        _say(f"{error}; nothing more is sent to the collector")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
