"""Medians, ratios and goals of a run, as text for a terminal and as Markdown for ``docs/benchmarks.md``."""

import re
import statistics
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.benchmarks.measures import TITLES, Result

Rounds = dict[str, dict[str, list[Result]]]
Medians = dict[str, dict[str, Result]]
PAGE = Path(__file__).with_name("page.md")
#: The last quick run that was kept: what quick ones are compared with.
QUICK_PAGE = Path(__file__).with_name("quick.md")
#: How much a run has sent, in words that a page has; whether it was quick. Fewer frames weigh a start more.
SIZES = {False: "all frames", True: "a tenth of the frames (--quick)"}
_HEADING = re.compile(r" on [\d-]+: (?P<machine>[^;]*);")
#: A ratio that got worse by this factor is named.
WORSE = 1.15


@dataclass(frozen=True)
class Column:
    """One column: a metric, its heading, and how it is written.

    Attributes:
        better: of a ratio that is compared with an earlier page: whether "more" of it is better, or "less".
    """

    heading: str
    metric: str
    write: Callable[[float], str]
    better: Literal["", "more", "less"] = ""


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _one(value: float) -> str:
    return f"{value:.1f}"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _three(value: float) -> str:
    return f"{value:.3f}"


def _times(value: float) -> str:
    return f"{value:.2f}x" if value < 10 else f"{value:,.0f}x"


COLUMNS: dict[str, list[Column]] = {
    "small": [
        Column("frames", "frames", _count),
        Column("frames/s", "frames_per_s", _count),
        Column("of direct", "of_direct", _times, "more"),
        Column("of nginx", "of_nginx", _times, "more"),
        Column("of mitmdump", "of_mitmdump", _times, "more"),
        Column("indexed/s", "indexed_per_s", _count),
        Column("CPU us each", "cpu_us", _two),
        Column("lost", "lost", _count),
    ],
    "bulk": [
        Column("frames", "frames", _count),
        Column("MB/s", "mb_per_s", _count),
        Column("of direct", "of_direct", _times, "more"),
        Column("of nginx", "of_nginx", _times, "more"),
        Column("of mitmdump", "of_mitmdump", _times, "more"),
        Column("burst s", "seconds", _two),
        Column("all in capture s", "indexed_s", _two),
        Column("of burst", "indexed_ratio", _times, "less"),
        Column("MB/s in capture", "indexed_mb_per_s", _count),
        Column("CPU us each", "cpu_us", _count),
        Column("of the relay alone", "relay_cpu_us", _count),
        Column("of nginx", "relay_cpu_of_nginx", _times, "less"),
        Column("lost", "lost", _count),
    ],
    "echo": [
        Column("p50 us", "p50_us", _one),
        Column("of direct", "of_direct", _times, "less"),
        Column("of nginx", "of_nginx", _times, "less"),
        Column("of mitmdump", "of_mitmdump", _times, "less"),
        Column("p99 us", "p99_us", _one),
        Column("p99 of direct", "p99_of_direct", _times, "less"),
        Column("CPU us each", "cpu_us", _one),
        Column("next to a stream p50 us", "beside_p50_us", _one),
        Column("of nginx", "beside_p50_of_nginx", _times, "less"),
        Column("p99 us", "beside_p99_us", _one),
        Column("lost", "lost", _count),
    ],
    "open": [
        Column("a second", "openings_per_s", _count),
        Column("of direct", "of_direct", _times, "more"),
        Column("of mitmdump", "of_mitmdump", _times, "more"),
        Column("CPU ms each", "cpu_ms", _two),
        Column("p50 ms", "p50_ms", _two),
        Column("p99 ms", "p99_ms", _two),
        Column("one at a time, p50 ms", "alone_ms", _two),
        Column("lost", "lost", _count),
    ],
    "memory": [
        Column("frames, twice", "frames", _count),
        Column("frames/s", "frames_per_s", _count),
        Column("of nginx", "of_nginx", _times, "more"),
        Column("before MB", "before_mb", _one),
        Column("after the first MB", "first_mb", _one),
        Column("after the second MB", "second_mb", _one),
        Column("peak MB", "peak_mb", _one),
        Column("peak on a disk of 60 MB/s", "slow_peak_mb", _one),
    ],
    "many": [
        Column("connections", "connections", _count),
        Column("before MB", "before_mb", _one),
        Column("all open MB", "during_mb", _one),
        Column("KB each", "kb_each", _one, "less"),
        Column("of the engine alone", "engine_kb_each", _one, "less"),
        Column("more than before, 10 s after they closed, MB", "left_mb", _one),
        Column("stop with all open s", "stop_s", _two),
        Column("a quiet one among 100 busy, p50 ms", "quiet_p50_ms", _two),
        Column("p99 ms", "quiet_p99_ms", _two),
        Column("lost", "lost", _count),
    ],
    "tls": [
        Column("frames of 64 KiB", "frames", _count),
        Column("MB/s", "mb_per_s", _count),
        Column("of nginx", "of_nginx", _times, "more"),
        Column("CPU us each", "cpu_us", _count),
        Column("of the relay alone", "relay_cpu_us", _count),
        Column("of nginx", "relay_cpu_of_nginx", _times, "less"),
        Column("echo p50 us", "p50_us", _one),
        Column("of nginx", "p50_of_nginx", _times, "less"),
        Column("p99 us", "p99_us", _one),
        Column("CPU us each", "echo_cpu_us", _one),
        Column("lost", "lost", _count),
    ],
    "start": [
        Column("starts", "starts", _count),
        Column("CPU s, the least", "cpu_s", _two),
    ],
    "pauses": [
        Column("opening handshakes", "openings", _count),
        Column("collections", "collections", _count),
        Column("the longest, ms", "longest_ms", _two),
        Column("giving memory back, ms", "given_back_ms", _two),
    ],
}
_SCREENS = [
    Column("frames", "frames", _count),
    Column("first paint ms", "first_paint_ms", _count),
    Column("resident MB", "resident_mb", _one),
    Column("filter ms", "filter_ms", _count),
    Column("key to paint p95 ms", "key_p95_ms", _one),
    Column("stall p99 ms, 1,000/s", "stall_p99_ms_1000", _one),
    Column("stall p99 ms, 20,000/s", "stall_p99_ms_20000", _one),
    Column("lost rows, 20,000/s", "lost_rows_20000", _count),
    Column("echo p50 of headless", "of_headless", _times, "less"),
]
COLUMNS["screens"] = _SCREENS
COLUMNS["show"] = [
    Column("frames", "frames", _count),
    Column("no filter, first screen ms", "plain_ms", _count),
    Column("first screen ms", "first_ms", _count),
    Column("few pass s", "sparse_s", _two),
    Column("regex, few pass s", "regex_s", _two),
    Column("half pass s", "half_s", _two),
    Column("half, --json s", "json_s", _two),
    Column("regex, half pass s", "half_regex_s", _two),
    Column("all pass s", "all_s", _two),
]
COLUMNS["faults"] = [
    Column("armed frames/s", "armed_per_s", _count),
    Column("echo p50 us", "unarmed_p50_us", _one),
    Column("armed p50 us", "armed_p50_us", _one),
    Column("of unarmed", "armed_ratio", _times, "less"),
    Column("next to a busy one us", "beside_unarmed_us", _one),
    Column("next to a busy armed one us", "beside_armed_us", _one),
    Column("of that", "beside_ratio", _times, "less"),
    Column("delay's error p50 ms", "delay_error_p50_ms", _two),
    Column("p99 ms", "delay_error_p99_ms", _two),
]
COLUMNS["findings"] = [
    Column("frames", "frames", _count),
    Column("busy frames/s", "busy_per_s", _count),
    Column("with rules", "busy_with", _times, "less"),
    Column("short ones frames/s", "short_per_s", _count),
    Column("with rules", "short_with", _times, "less"),
    Column("two taps frames/s", "pairs_per_s", _count),
    Column("with rules", "pairs_with", _times, "less"),
    Column("diagnose s", "diagnose_s", _two),
]
COLUMNS["replay"] = [
    Column("messages", "messages", _count),
    Column("replayed/s", "sent_per_s", _count),
    Column("JSONL out, frames/s", "jsonl_out_per_s", _count),
    Column("JSONL in", "jsonl_in_per_s", _count),
    Column("HAR out", "har_out_per_s", _count),
    Column("HAR in", "har_in_per_s", _count),
    Column("capture MB", "capture_mb", _count),
    Column("peak MB", "peak_mb", _count),
]
COLUMNS["http2"] = [
    Column("HTTP/1.1 frames/s", "h1_per_s", _count),
    Column("HTTP/2 frames/s", "h2_per_s", _count),
    Column("of it", "rate_ratio", _two, "more"),
    Column("CPU, times", "cpu_ratio", _one, "less"),
    Column("one a DATA frame, frames/s", "h2_each_per_s", _count),
    Column("echo p50 us", "h1_p50_us", _count),
    Column("HTTP/2 p50 us", "h2_p50_us", _count),
    Column("times", "p50_ratio", _one, "less"),
    Column("CPU, times", "echo_cpu_ratio", _one, "less"),
    Column("1,000 streams MB", "streams_mb", _count),
    Column("100 streams, 10,000 frames/s: grew MB", "many_grew_mb", _one),
    Column("lost", "lost", _count),
]
COLUMNS["writes"] = [
    Column("writes", "writes", _count),
    Column("reads of one byte", "reads", _count),
    Column("0.2 ms apart", "close_reads", _count),
]
COLUMNS["calls"] = [
    Column("calls for a frame of 64 B, pipelined", "frame_calls", _three, "less"),
    Column("for a frame of 64 KiB", "bulk_calls", _one, "less"),
    Column("for an echo of 64 B", "echo_calls", _one, "less"),
    Column("for an opening handshake", "open_calls", _one, "less"),
    Column("copies of a byte", "byte_copies", _two, "less"),
]
COLUMNS["instructions"] = [
    Column("a frame of 64 B, pipelined", "frame_instructions", _three, "less"),
    Column("of 64 KiB", "bulk_instructions", _count, "less"),
    Column("an echo of 64 B", "echo_instructions", _one, "less"),
    Column("an opening handshake", "open_instructions", _count, "less"),
]
COMPARED = {
    "small": "frames_per_s",
    "bulk": "mb_per_s",
    "echo": "p50_us",
    "open": "openings_per_s",
    "memory": "frames_per_s",
    "tls": "mb_per_s",
}
#: Metrics that are compared as well; the ratio is named after them.
ALSO_COMPARED = ("p50_us", "p99_us", "relay_cpu_us", "beside_p50_us")
#: What is missing, where it is not what the measurement counts.
LOSSES = {
    "lost": "",
    "lost_bytes": "bytes of payload",
    "lost_stop": "frames after a stop",
    "lost_ends": "ends after a stop",
}


def medians(rounds: Rounds) -> Medians:
    """The median of each metric over the rounds (of losses the worst), and ratios to other peers."""
    found: Medians = {}
    for measure, peers in rounds.items():
        found[measure] = {peer: _median(results) for peer, results in peers.items() if results}
        for name in ("direct", "nginx", "mitmdump"):
            base = found[measure].get(name, {})
            ratios = {COMPARED.get(measure, ""): f"of_{name}"}
            ratios |= {metric: f"{metric[:-3]}_of_{name}" for metric in ALSO_COMPARED if metric not in ratios}
            for result in found[measure].values():
                for metric, ratio in ratios.items():
                    if metric in result and base.get(metric):
                        result[ratio] = result[metric] / base[metric]
    return found


def _median(results: list[Result]) -> Result:
    keys = results[0].keys()
    return {
        key: max((each[key] for each in results), key=abs)
        if key.startswith("lost")
        else statistics.median(each[key] for each in results)
        for key in keys
    }


@dataclass(frozen=True)
class Goal:
    """One sentence of what is promised, what was measured, and whether it holds."""

    promise: str
    measured: str
    is_met: bool


def goals(found: Medians) -> list[Goal]:
    """The goals whose peers took part in this run."""
    result: list[Goal] = []

    def value(measure: str, peer: str, metric: str) -> float | None:
        return found.get(measure, {}).get(peer, {}).get(metric)

    def add(
        promise: str,
        measured: float | None,
        limit: float | None,
        write: Callable[[float], str],
        *,
        at_least: bool = False,
    ) -> None:
        if measured is not None and limit is not None:
            is_met = measured >= limit if at_least else measured <= limit
            result.append(Goal(promise, f"{write(measured)} (goal {write(limit)})", is_met))

    ours = "wsinspect"

    def share(measure: str, metric: str, times: float) -> float | None:
        """So many times what nginx has."""
        base = value(measure, "nginx", metric)
        return None if base is None else times * base

    for measure, size, times in (("bulk", "64 KiB", 1.0), ("memory", "1 KiB", 0.8), ("small", "64 B", 0.5)):
        promise = f"{size}: frames/s at least {times:g} of nginx's"
        add(promise, value(measure, ours, "of_nginx"), times, _times, at_least=True)
    promise = "64 KiB: CPU of the relay at most 1.5 times nginx's"
    add(promise, value("bulk", ours, "relay_cpu_of_nginx"), 1.5, _times)
    promise = "64 KiB: all in the capture within 4 times the burst"
    add(promise, value("bulk", ours, "indexed_ratio"), 4, _times)
    snaplen, mockttp = value("bulk", "wsinspect snaplen", "mb_per_s"), value("bulk", "mockttp", "mb_per_s")
    add("64 KiB, --snaplen 4KiB: MB/s above mockttp's", snaplen, mockttp, _count, at_least=True)
    p50, p99 = value("echo", ours, "p50_us"), value("echo", ours, "p99_us")
    add("echo: p50 at most 1.35 times nginx's", value("echo", ours, "of_nginx"), 1.35, _times)
    add("echo: p50 us at most mockttp's", p50, value("echo", "mockttp", "p50_us"), _one)
    add("echo: p99 us at most 3 times our p50", p99, p50 and 3 * p50, _one)
    add("echo: p99 us at most 2 times nginx's", p99, share("echo", "p99_us", 2), _one)
    p50, p99 = value("echo", ours, "beside_p50_us"), value("echo", ours, "beside_p99_us")
    promise = "echo next to a stream: p50 at most 1.35 times nginx's"
    add(promise, value("echo", ours, "beside_p50_of_nginx"), 1.35, _times)
    add("echo next to a stream: p99 us at most 3 times our p50", p99, p50 and 3 * p50, _one)
    add("echo next to a stream: p99 us at most 2 times nginx's", p99, share("echo", "beside_p99_us", 2), _one)
    p50, p99 = value("tls", ours, "p50_us"), value("tls", ours, "p99_us")
    add("TLS: echo p50 at most 1.6 times nginx's", value("tls", ours, "p50_of_nginx"), 1.6, _times)
    add("TLS: echo p99 us at most 3 times our p50", p99, p50 and 3 * p50, _one)
    promise = "TLS, 64 KiB: MB/s at least 1/1.6 of nginx's"
    add(promise, value("tls", ours, "of_nginx"), 1 / 1.6, _times, at_least=True)
    add("pauses: the longest collection ms at most 5", value("pauses", ours, "longest_ms"), 5, _two)
    add("pauses: giving memory back ms at most 5", value("pauses", ours, "given_back_ms"), 5, _two)
    add("openings: 1,000 a second", value("open", ours, "openings_per_s"), 1000, _count, at_least=True)
    add("openings: p50 ms of one at a time at most 2", value("open", ours, "alone_ms"), 2, _two)
    sent, direct = value("writes", ours, "writes"), value("writes", "direct", "reads")
    limit = None if sent is None else min(sent * 399 / 400, direct or sent)
    promise = "writes: of 400 of one byte 399 are read by themselves, or as many as without a proxy"
    add(promise, value("writes", ours, "reads"), limit, _count, at_least=True)
    promise = "memory: MB of engine and recorder at most 150 at any moment"
    add(promise, value("memory", ours, "peak_mb"), 150, _one)
    promise = "memory: MB at most 150 at any moment on a disk of 60 MB/s"
    add(promise, value("memory", ours, "slow_peak_mb"), 150, _one)
    first = value("memory", ours, "first_mb")
    add(
        "memory: MB after the second million as after the first (5 % allowed)",
        value("memory", ours, "second_mb"),
        first and first * 1.05,
        _one,
    )
    add("many: KB of the engine each at most 20", value("many", ours, "engine_kb_each"), 20, _one)
    add("many: MB more than before at most 30", value("many", ours, "left_mb"), 30, _one)
    add("many: s of a stop with all open at most 5", value("many", ours, "stop_s"), 5, _two)
    promise = "many: p99 ms of a quiet one next to 100 with 1,000 frames/s at most 2"
    add(promise, value("many", ours, "quiet_p99_ms"), 2, _two)
    indexed = value("small", ours, "indexed_per_s")
    add("recorder: 64 B, frames/s indexed at least 250,000", indexed, 250_000, _count, at_least=True)
    indexed = value("bulk", ours, "indexed_mb_per_s")
    add("recorder: 64 KiB, MB/s in the capture at least 400", indexed, 400, _count, at_least=True)
    add("start: CPU s until run listens at most 0.8", value("start", ours, "cpu_s"), 0.8, _two)
    add("screens: first paint ms at most 1,000", value("screens", ours, "first_paint_ms"), 1000, _count)
    add(
        "screens: resident MB at most 60 and 48 B a frame",
        value("screens", ours, "resident_mb"),
        value("screens", ours, "resident_allowed_mb"),
        _one,
    )
    add("screens: a filter's first screen ms at most 200", value("screens", ours, "filter_ms"), 200, _count)
    add("screens: key to paint p95 ms at most 50", value("screens", ours, "key_p95_ms"), 50, _one)
    add("screens: event loop stall p99 ms at most 20", value("screens", ours, "stall_p99_ms_1000"), 20, _one)
    for rate in (1_000, 20_000):
        add(f"screens: lost rows at {rate:,}/s", value("screens", ours, f"lost_rows_{rate}"), 0, _count)
    add("screens: echo p50 at most 1.2 times headless", value("screens", ours, "of_headless"), 1.2, _times)
    add(
        "faults: a rule that matches nothing leaves 100,000 frames/s of 64 B",
        value("faults", ours, "armed_per_s"),
        100_000,
        _count,
        at_least=True,
    )
    add("faults: with such a rule echo p50 1.3 times", value("faults", ours, "armed_ratio"), 1.3, _times)
    add(
        "faults: echo p50 next to an armed busy connection 1.3 times that next to an unarmed one",
        value("faults", ours, "beside_ratio"),
        1.3,
        _times,
    )
    for part, limit_ms in ((50, 5), (99, 20)):
        add(
            f"faults: latency exact to ms, 200 connections, p{part}",
            value("faults", ours, f"delay_error_p{part}_ms"),
            limit_ms,
            _two,
        )
    for shape, words in (
        ("busy", "few busy connections"),
        ("short", "many short ones"),
        ("pairs", "two taps"),
    ):
        add(
            f"findings: {words} cost the recorder at most 1.10 times",
            value("findings", ours, f"{shape}_with"),
            1.10,
            _two,
        )
    add("findings: diagnose of the large capture s", value("findings", ours, "diagnose_s"), 20, _one)
    ratio = value("http2", ours, "rate_ratio")
    add("http2: 64 B frames at least 0.6 of HTTP/1.1", ratio, 0.6, _two, at_least=True)
    add("http2: echo p50 at most 2 times HTTP/1.1", value("http2", ours, "p50_ratio"), 2, _one)
    add("http2: 1,000 streams on ten connections, MB", value("http2", ours, "streams_mb"), 300, _count)
    sent = value("replay", ours, "sent_per_s")
    add("replay: at least 20,000 messages/s of 64 B", sent, 20_000, _count, at_least=True)
    for kind in ("jsonl", "har"):
        for way, word in (("out", "export"), ("in", "import")):
            add(
                f"{kind.upper()} {word}: at least 50,000 frames/s",
                value("replay", ours, f"{kind}_{way}_per_s"),
                50_000,
                _count,
                at_least=True,
            )
    add("export and import of the large capture: peak MB", value("replay", ours, "peak_mb"), 300, _count)
    promise = "show: first screen ms without a filter at most 250"
    add(promise, value("show", ours, "plain_ms"), 250, _count)
    add("show: first screen ms of any filter at most 1,000", value("show", ours, "first_ms"), 1000, _count)
    for column in COLUMNS["show"][3:]:
        add(f"show, {column.heading} at most 5", value("show", ours, column.metric), 5, _two)
    for measure, what in (
        *(("small", "frames"), ("bulk", "frames"), ("echo", "frames"), ("open", "WebSockets")),
        *(("tls", "frames"), ("many", "frames")),
    ):
        for peer in found.get(measure, {}):
            for metric, words in LOSSES.items():
                lost = value(measure, peer, metric)
                if lost is not None:
                    promise = f"{measure}, {peer}: no {words or what} missing in the capture"
                    result.append(Goal(promise, f"{lost:,.0f} missing", lost == 0))
    return result


def comparison(found: Medians, facts: dict[str, Any], name: str, page: str) -> str:
    """What got worse since an earlier page, or why that cannot be said, in lines."""
    words = " ".join(page.split())
    if facts["sizes"] not in words:
        return f"not compared with {name}, which has another number of frames; this run: {facts['sizes']}"
    heading = _HEADING.search(words)
    if heading is not None and heading["machine"] != facts["machine"]:
        name += f", which is of another machine ({heading['machine']}; this one: {facts['machine']})"
    lines = [f"WORSE   {line}" for line in fallen(found, page)]
    return "\n".join([f"compared with {name}", *(lines or ["no ratio is more than 15 % worse"])])


def fallen(found: Medians, page: str) -> list[str]:
    """Our ratios that are more than 15 % worse than on an earlier page, a line each."""
    before = _ratios_of(page)
    lines = []
    for measure, peers in found.items():
        for place, column in _compared(measure):
            now, was = peers.get("wsinspect", {}).get(column.metric), before.get((measure, place))
            # Less than that is two digits or none on the page.
            if not now or was is None or was < 0.05:
                continue
            worse = was / now if column.better == "more" else now / was
            if worse > WORSE:
                lines.append(
                    f"{TITLES[measure]}, {place[0]}: {column.write(now)}, before {column.write(was)}"
                )
    return lines


def _compared(measure: str) -> Iterator[tuple[tuple[str, int], Column]]:
    """The ratios of a table, each with its heading and how many columns before it have the same one."""
    seen: Counter[str] = Counter()
    for column in COLUMNS[measure]:
        if column.better:
            yield (column.heading, seen[column.heading]), column
        seen[column.heading] += 1


def _ratios_of(page: str) -> dict[tuple[str, tuple[str, int]], float]:
    """The numbers in our rows of a page that `markdown` wrote, by measurement and column."""
    measures = {f"## {title}": measure for measure, title in TITLES.items()}
    found: dict[tuple[str, tuple[str, int]], float] = {}
    measure, head = "", [""]
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("## "):
            measure = measures.get(line.strip(), "")
        elif line.startswith("|  |"):
            head = ["", *cells]
        elif measure and cells[0].rpartition(" ")[0] == "wsinspect":
            seen: Counter[str] = Counter()
            for heading, cell in zip(head[1:], cells[1:], strict=False):
                number = cell.removesuffix("x").replace(",", "")
                if number.replace(".", "", 1).isdigit():
                    found[measure, (heading, seen[heading])] = float(number)
                seen[heading] += 1
    return found


def _rows(
    measure: str, peers: dict[str, Result], versions: dict[str, str]
) -> tuple[list[str], list[list[str]]]:
    columns = [
        column for column in COLUMNS[measure] if any(column.metric in result for result in peers.values())
    ]
    rows = []
    for peer, result in peers.items():
        cells = [column.write(result[column.metric]) if column.metric in result else "" for column in columns]
        rows.append([f"{peer} {versions.get(peer, '')}".strip(), *cells])
    return ["", *(column.heading for column in columns)], rows


def text(found: Medians, versions: dict[str, str]) -> str:
    """The tables for a terminal."""
    lines: list[str] = []
    for measure, peers in found.items():
        if not any(peers.values()):
            continue
        head, rows = _rows(measure, {name: result for name, result in peers.items() if result}, versions)
        widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
        lines += ["", TITLES[measure]]
        for row in [head, *rows]:
            lines.append(
                "  ".join(
                    [
                        row[0].ljust(widths[0]),
                        *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
                    ]
                ).rstrip()
            )
    lines.append("")
    lines += [
        f"{'met   ' if goal.is_met else 'MISSED'}  {goal.promise}: {goal.measured}" for goal in goals(found)
    ]
    return "\n".join(lines)


_QUICK = """# A quick run

Written by `make bench ARGS='--quick --markdown tests/benchmarks/quick.md'` on $date: $machine; $system;
Python $python. Medians of $rounds, $sizes, $minutes minutes. Load average before the run: $load.
Quick runs are compared with this one, and with nothing else: with so few frames, starts and first frames
weigh more than in docs/benchmarks.md.
$tables
## Goals

$goals
"""


def _markdown_table(head: list[str], rows: list[list[str]], align: str) -> str:
    lines = [f"| {' | '.join(head)} |", align, *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def markdown(found: Medians, facts: dict[str, Any]) -> str:
    """The page ``docs/benchmarks.md``, from the template next to this file; a quick one has tables alone."""
    parts = []
    for measure, peers in found.items():
        head, rows = _rows(
            measure, {name: result for name, result in peers.items() if result}, facts["versions"]
        )
        align = f"| --- |{' ---: |' * (len(head) - 1)}"
        parts.append(f"\n## {TITLES[measure]}\n\n{_markdown_table(head, rows, align)}\n")
    verdicts = [[goal.promise, goal.measured, "met" if goal.is_met else "missed"] for goal in goals(found)]
    template = _QUICK if facts["sizes"] == SIZES[True] else PAGE.read_text(encoding="utf-8")
    page = string.Template(template)
    return page.substitute(
        facts,
        tables="".join(parts),
        goals=_markdown_table(["goal", "measured", ""], verdicts, "| --- | --- | --- |"),
    )
