"""The process that sends what a running proxy sees to an OpenTelemetry collector (`wsinspect.telemetry`).

Contract: it is a reader of the capture and nothing else, so the relay neither waits for it nor knows of it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from wsinspect.errors import LocalError, UsageError

Protocol = Literal["http/protobuf", "grpc"]
#: Any of these says where a collector is.
_ENDPOINTS: Final = tuple(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_"))
#: The port that is registered for OTLP over gRPC; 4318 is that of HTTP.
_GRPC_PORT: Final = 4317
#: How long it may take to send the rest once the capture is whole.
END_SECONDS: Final = 5.0
_KILL_SECONDS: Final = 2.0
_MODULES: Final = (
    "opentelemetry.sdk",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.exporter.otlp.proto.grpc",
)


class Target(NamedTuple):
    """A collector.

    Attributes:
        url: its URL; None where the variables say it.
        protocol: how it is spoken to.
        name: for the user.
    """

    url: str | None
    protocol: Protocol
    name: str


def target_of(option: str | None, environment: Mapping[str, str]) -> Target | None:
    """The collector that `--otlp` or the variables `OTEL_*` name; None where neither does.

    Raises:
        UsageError: it is not a URL, or a protocol that is not spoken.
        LocalError: the option is given, and the SDK is not installed.
    """
    variable = next((name for name in _ENDPOINTS if environment.get(name)), None)
    if (option is None and variable is None) or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    text = option if option is not None else environment[variable or ""]
    for signal in ("TRACES_", "METRICS_"):
        _check_protocol(f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL", environment)
    found = _read(
        text, _check_protocol("OTEL_EXPORTER_OTLP_PROTOCOL", environment), is_option=option is not None
    )
    if not _is_installed():
        if option is None:
            return None
        raise LocalError(
            "--otlp needs OpenTelemetry's SDK, which is not installed",
            hint="pipx inject wsinspect opentelemetry-sdk opentelemetry-exporter-otlp, "
            "or pip install 'wsinspect[otel]'",
        )
    return found if option is not None else found._replace(url=None, name=f"{found.name} ({variable})")


def _check_protocol(variable: str, environment: Mapping[str, str]) -> str:
    """What a variable says, empty without it.

    Raises:
        UsageError: it is a protocol that is not spoken.
    """
    wanted = environment.get(variable, "")
    if wanted not in ("", "grpc", "http/protobuf"):
        raise UsageError(f"{variable}: {wanted!r} is not spoken", hint="http/protobuf or grpc")
    return wanted


def _read(text: str, wanted: str, *, is_option: bool) -> Target:
    what = "--otlp" if is_option else "OTEL_EXPORTER_OTLP_ENDPOINT"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https", "grpc", "grpcs") or not parts.hostname:
        raise UsageError(
            f"{what}: not the URL of a collector: {text!r}", hint="for example http://localhost:4318"
        )
    is_grpc = wanted == "grpc" or (not wanted and (parts.scheme.startswith("grpc") or port == _GRPC_PORT))
    scheme = parts.scheme.replace("grpcs", "https").replace("grpc", "http")
    url = parts._replace(scheme=scheme).geturl()
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return Target(url, "grpc" if is_grpc else "http/protobuf", shown)


def _is_installed() -> bool:
    """Whether the extra is there, without importing it."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in _MODULES)
    except ModuleNotFoundError:
        return False


class TelemetryChild:
    """The process, for one run of a proxy.

    Args:
        target: the collector.
        warn: a line for the user, from any thread.
    """

    def __init__(self, target: Target, capture: Path, warn: Callable[[str], None]) -> None:
        self._target = target
        self._capture = capture
        self._warn = warn
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ending = False

    def start(self) -> None:
        """Start it once the capture is there; a failure is said, and changes nothing else."""
        module = "wsinspect.telemetry.process"
        arguments = [str(self._capture), self._target.protocol]
        if self._target.url is not None:
            arguments.append(self._target.url)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # gRPC's library writes a log of its own to stderr for each handshake that fails.
                env={"GRPC_VERBOSITY": "NONE", **os.environ},
                start_new_session=True,
            )
        except OSError as error:
            self._warn(f"nothing is sent to the collector: {error.strerror}")
            return
        self._warn(f"sending spans and metrics to {self._target.name}")
        threading.Thread(
            target=self._watch, args=(self._process,), name="telemetry-wait", daemon=True
        ).start()

    def finish(self) -> None:
        """After the capture is whole: wait for the rest to be sent, for some seconds."""
        self._is_ending = True
        process = self._process
        if process is None:
            return
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(_KILL_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        if not self._is_ending and code:
            reason = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._warn(f"nothing more is sent to the collector ({reason}); recording continues")
