"""The formats a capture is written in: one table for the command line and the timeline."""

from __future__ import annotations

from typing import IO, Final, NamedTuple, Protocol

from wsinspect.capture.reader import Capture
from wsinspect.formats.choice import Choice, words_of_hops_own
from wsinspect.formats.progress import Progress
from wsinspect.text import counted


class Written(NamedTuple):
    """What an export wrote.

    Attributes:
        summary: what and how much, as in "3 connections, 40 messages".
        notes: what of it is not whole, a sentence each.
    """

    summary: str
    notes: tuple[str, ...] = ()


class Write(Protocol):
    """Writes a capture, or the chosen part of it.

    Raises:
        CaptureError: the capture is damaged.
        OSError: `out` cannot be written.
    """

    def __call__(
        self, capture: Capture, out: IO[bytes], *, choice: Choice, include_secrets: bool, progress: Progress
    ) -> Written: ...


class Exporter(NamedTuple):
    """One format.

    Attributes:
        name: of `--format`; the names of its files end with it.
        label: as people write it.
        write: the writer.
        keeps_part: whether what was written before a capture turned out to be damaged is of use.
    """

    name: str
    label: str
    write: Write
    keeps_part: bool = False


def _har(
    capture: Capture, out: IO[bytes], *, choice: Choice, include_secrets: bool, progress: Progress
) -> Written:
    from wsinspect.formats.har_writer import write_har

    result = write_har(capture, out, choice=choice, include_secrets=include_secrets, progress=progress)
    notes = []
    if result.truncated:
        notes.append(
            f"{counted(result.truncated, 'message')} cut or missing in the capture (--snaplen, "
            "--max-capture-size); the HAR marks them"
        )
    if result.not_inflated:
        notes.append(
            f"{counted(result.not_inflated, 'message')} could not be inflated: compressed bytes kept"
        )
    if result.kept:
        entries = "1 entry" if result.kept == 1 else f"{result.kept} entries"
        notes.append(f"{entries} with Server-Sent Events, as imported")
    summary = f"{counted(result.connections, 'connection')}, {counted(result.messages, 'message')}"
    return Written(summary + _near(result.requests), tuple(notes))


def _near(requests: int) -> str:
    return f", {counted(requests, 'HTTP request')} near attempts" if requests else ""


def _jsonl(
    capture: Capture, out: IO[bytes], *, choice: Choice, include_secrets: bool, progress: Progress
) -> Written:
    from wsinspect.formats.jsonl_writer import write_jsonl

    frames = write_jsonl(capture, out, choice=choice, include_secrets=include_secrets, progress=progress)
    return Written(counted(frames, "frame"))


def _mock(
    capture: Capture, out: IO[bytes], *, choice: Choice, include_secrets: bool, progress: Progress
) -> Written:
    from wsinspect.formats.mock_writer import write_mock

    result = write_mock(capture, out, choice=choice, progress=progress)
    notes = []
    if result.others:
        notes.append(
            f"the script plays connection {result.connection}; -c chooses another of {result.others + 1}"
        )
    if result.left_out:
        notes.append(
            f"{counted(result.left_out, 'message')} left out: cut in the capture, or too many for a script"
        )
    if (said := words_of_hops_own(result.of_hops)) is not None:
        notes.append(said)
    return Written(f"connection {result.connection}, {counted(result.steps, 'step')}", tuple(notes))


def _pcapng(
    capture: Capture, out: IO[bytes], *, choice: Choice, include_secrets: bool, progress: Progress
) -> Written:
    from wsinspect.formats.packets.writer import write_packets

    result = write_packets(capture, out, choice=choice, include_secrets=include_secrets, progress=progress)
    notes = []
    if result.cut:
        notes.append(f"{counted(result.cut, 'frame')} cut in the capture: their packets are cut too")
    if result.not_inflated:
        notes.append(
            f"{counted(result.not_inflated, 'frame')} written without RSV1, so that Wireshark does not "
            "inflate them: a message is larger than 16 MiB, or could not be inflated"
        )
    if result.over_http2:
        notes.append(
            f"{counted(result.over_http2, 'connection')} over HTTP/2 written with a handshake of HTTP/1.1"
        )
    if result.decrypted:
        notes.append(f"{counted(result.decrypted, 'wss connection')} written without TLS")
    names = [(result.connections, "connection"), (result.frames, "frame"), (result.packets, "packet")]
    return Written(", ".join(counted(*one) for one in names), tuple(notes))


def _flows(
    capture: Capture, out: IO[bytes], *, choice: Choice, include_secrets: bool, progress: Progress
) -> Written:
    from wsinspect.formats.flows_writer import write_flows

    result = write_flows(capture, out, choice=choice, include_secrets=include_secrets, progress=progress)
    notes = []
    if result.truncated:
        notes.append(f"{counted(result.truncated, 'message')} cut in the capture; flows cannot say so")
    if result.not_inflated:
        notes.append(
            f"{counted(result.not_inflated, 'message')} could not be inflated: compressed bytes kept"
        )
    if result.left_out:
        notes.append(f"{counted(result.left_out, 'message')} left out: a flow is read as a whole")
    if result.without_request:
        notes.append(f"{counted(result.without_request, 'connection')} left out: no request was recorded")
    names = [(result.connections, "connection"), (result.messages, "message")]
    return Written(", ".join(counted(*one) for one in names) + _near(result.requests), tuple(notes))


def _client(write: str, cannot: str) -> Write:
    def export(
        capture: Capture, out: IO[bytes], *, choice: Choice, include_secrets: bool, progress: Progress
    ) -> Written:
        from wsinspect.formats import clients_writer

        writer = getattr(clients_writer, write)
        result = writer(capture, out, choice=choice, include_secrets=include_secrets, progress=progress)
        notes = []
        if result.left_out:
            notes.append(f"{counted(result.left_out, 'message')} left out: {cannot}, or too many")
        if result.truncated:
            notes.append(f"{counted(result.truncated, 'message')} cut in the capture")
        if (said := words_of_hops_own(result.of_hops)) is not None:
            notes.append(said)
        names = [(result.connections, "connection"), (result.messages, "message")]
        return Written(f"{', '.join(counted(*one) for one in names)} of the client", tuple(notes))

    return export


_ALL: Final = (
    Exporter("har", "HAR", _har),
    Exporter("jsonl", "JSONL", _jsonl, keeps_part=True),
    Exporter("mock", "mock script", _mock),
    Exporter("pcapng", "pcapng", _pcapng, keeps_part=True),
    Exporter("flows", "mitmproxy flows", _flows, keeps_part=True),
    Exporter("k6", "k6 script", _client("write_k6", "not whole")),
    Exporter("postman", "Postman collection", _client("write_postman", "Postman's format has text alone")),
    Exporter("websocat", "websocat script", _client("write_websocat", "websocat sends texts to 64 KiB")),
)
#: By name, in the order that menus show.
EXPORTERS: Final[dict[str, Exporter]] = {one.name: one for one in _ALL}

__all__ = ["EXPORTERS", "Exporter", "Write", "Written"]
