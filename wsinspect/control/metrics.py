"""Metrics in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wsinspect.faults.board import Board
from wsinspect.faults.rule import Author


def metrics_text(totals: Mapping[str, Any], status: Mapping[str, Any], board: Board, unwritten: int) -> str:
    """All metrics of an engine."""
    rows = totals["connections"]
    frames = [sum(row[index] or 0 for row in rows) for index in (2, 3)]
    sizes = [sum(row[index] or 0 for row in rows) for index in (4, 5)]
    lines: list[str] = []
    _add(lines, "connections_open", "gauge", "WebSockets open now.", [({}, status["connections_open"])])
    _add(
        lines,
        "connections_total",
        "counter",
        "Attempts in the capture, refused ones included.",
        [({}, sum(row[1] for row in rows))],
    )
    _add(
        lines,
        "connections",
        "gauge",
        "Attempts in the capture by state.",
        [({"state": str(row[0])}, row[1]) for row in rows],
    )
    _add(lines, "frames_total", "counter", "Frames in the capture.", _by_direction(frames))
    _add(lines, "bytes_total", "counter", "Bytes of frames in the capture.", _by_direction(sizes))
    _add(
        lines,
        "faults_total",
        "counter",
        "Times a fault acted.",
        [({"rule": author.rule, "kind": author.kind}, count) for author, count in _acted(board).items()],
    )
    armed = sum(entry.is_armed for entry in board.entries)
    _add(lines, "faults_armed", "gauge", "Rules that are armed.", [({}, armed)])
    _add(
        lines,
        "findings_total",
        "counter",
        "Findings in the capture by severity.",
        [({"severity": str(row[0])}, row[1]) for row in totals["findings"]],
    )
    lag = totals["lag_bytes"] + unwritten
    _add(lines, "recorder_lag_bytes", "gauge", "Bytes relayed and not yet in the capture.", [({}, lag)])
    return "\n".join(lines) + "\n"


def _acted(board: Board) -> dict[Author, int]:
    """Decisions that acted, by author; 0 for rules that have not acted yet."""
    return {**dict.fromkeys((entry.rule.author for entry in board.entries), 0), **board.totals}


def _by_direction(values: list[int]) -> list[tuple[dict[str, str], int]]:
    return [({"direction": name}, value) for name, value in zip(("c2s", "s2c"), values, strict=True)]


def _add(
    lines: list[str], name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> None:
    full = f"wsinspect_{name}"
    lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{full}{{{inner}}} {value}" if inner else f"{full} {value}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
