"""Two payloads compared, line by line: with the previous message of the same shape, the mate, a marked frame.

Contract: pure, and bounded: of long payloads the beginning is compared, and the words say so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from wsinspect.decoders.json_text import NotJson, Number, lay_out, parse_json, string_member
from wsinspect.present.cells import Line
from wsinspect.present.frame_table import hex_dump
from wsinspect.text import counted, escape, escape_lines

#: Bytes and lines of each side.
COMPARED_BYTES: Final = 128 * 1024
_LINES: Final = 1_500
_CONTEXT: Final = 3
#: Members whose values tell kinds of messages apart.
_KINDS: Final = (
    "type",
    "event",
    "op",
    "action",
    "method",
    "kind",
    "cmd",
    "command",
    "t",
    "e",
    "channel",
    "topic",
)
_SHAPE_NAMES: Final = 24
#: JSON of at least this many characters that does not parse may be a beginning; members taken from that.
_CUT_CHARS: Final = 400
_CUT_NAMES: Final = 6
#: A number with its sign and fraction, a word, blanks, or any other sign.
_TOKEN: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)|\w+|\s+|[^\w\s]")
#: A line of `hex_dump`: its bytes, and the ASCII among them.
_HEX: Final = re.compile(r"([0-9a-f]{8}  [0-9a-f ]{48}  ?)(.{1,16})")
#: Of lines that differ in more than this many tokens all between the first and the last of these is marked.
_TOKENS: Final = 400
#: How the shape of a binary message begins.
BINARY: Final = "binary "


class Compared(NamedTuple):
    """A comparison to be shown: what was compared, in words, and its lines."""

    words: str
    lines: list[Line]


def shape_of(data: bytes, opcode: int) -> str:
    """What messages of one kind have in common: of JSON its members' names and its kind, else how it begins.

    Args:
        data: a payload or its beginning.
        opcode: of the message.
    """
    text = data.decode("utf-8", "replace").strip() if opcode == 1 else ""
    if text[:1] in ("{", "["):
        try:
            return _json_shape(parse_json(text))
        except NotJson:
            if (names := _cut_names(text)) is not None:
                return names
    if opcode == 1:
        begin = "".join("0" if char.isdigit() else char for char in text[:12])
        return f"text {begin.split(' ')[0]}"
    return BINARY + data[:4].hex(" ")


def _cut_names(text: str) -> str | None:
    """The shape of JSON that was cut at a preview's length: its kind, and the members that are seen."""
    if text[:1] != "{" or len(text) < _CUT_CHARS:
        return None
    kind = next(((name, value) for name in _KINDS if (value := string_member(text, name))), None)
    names = [
        one for one in dict.fromkeys(re.findall(r'"(\w{1,40})"\s*:', text)) if not kind or one != kind[0]
    ]
    begin = [f"{kind[0]}={kind[1]}"] if kind else []
    return "{" + ", ".join([*begin, *names[:_CUT_NAMES]]) + ", …}"


def _json_shape(value: Any) -> str:
    if isinstance(value, dict):
        kind = next((name for name in _KINDS if _tells(value.get(name))), None)
        names = sorted(value.keys() - {kind})
        begin = [] if kind is None else [f"{kind}={value[kind]}"]
        more = ", …" if len(names) > _SHAPE_NAMES else ""
        return "{" + ", ".join([*begin, *names[:_SHAPE_NAMES]]) + more + "}"
    if isinstance(value, list):
        first = value[0] if value else None
        inside = str(first) if _tells(first) and not isinstance(first, Number) else ""
        return f"[{inside}…]" if value else "[]"
    return "JSON value"


def _tells(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64


def lines_of(data: bytes, *, is_text: bool) -> list[str]:
    """A payload as lines that can be compared: JSON a member a line, text by its lines, else as hex."""
    if not is_text:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return list(hex_dump(data))
        if not text.isprintable():
            return list(hex_dump(data))
    text = data.decode("utf-8", "backslashreplace")
    if text.lstrip()[:1] in ("{", "["):
        try:
            parse_json(text)
            return [escape(line) for line in lay_out(text)]
        except NotJson:
            pass  # compared as text
    return escape_lines(text)


def compare(before: Sequence[str], after: Sequence[str], words: str, *, is_cut: bool = False) -> Compared:
    """The lines of both, those that are the same once; long equal stretches are left out."""
    is_cut = is_cut or max(len(before), len(after)) > _LINES
    old, new = list(before[:_LINES]), list(after[:_LINES])
    lines: list[Line] = []
    if is_cut:
        lines.append([("only the beginning is compared", "warn")])
    if old == new:
        return Compared(f"{words}: the same", [*lines, [("no difference", "good")], *_same(new)])
    changed = 0
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    shown_to: int | None = None
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        begin = group[0][3]
        if shown_to is not None and begin - shown_to == 1:
            lines += _same(new[shown_to:begin])  # it takes no more room than the words about it
        elif begin:
            lines.append([(f"… line {begin + 1}", "muted")])
        shown_to = group[-1][4]
        for tag, first, end, other_first, other_end in group:
            if tag == "equal":
                lines += _same(new[other_first:other_end])
                continue
            changed += max(end - first, other_end - other_first)
            lines += _changed(old[first:end], new[other_first:other_end])
    if shown_to is not None and (left := len(new) - shown_to):
        lines.append([(f"… {counted(left, 'more line')} without a difference", "muted")])
    return Compared(f"{words}: {counted(changed, 'line')} differ{'s' if changed == 1 else ''}", lines)


def _same(lines: Sequence[str]) -> list[Line]:
    return [[("  ", ""), (line, "same")] for line in lines]


def _changed(old: Sequence[str], new: Sequence[str]) -> list[Line]:
    """Removed and added lines; where they pair up, what differs within them is marked."""
    if len(old) != len(new):
        return [[("- ", "error"), (line, "")] for line in old] + [
            [("+ ", "good"), (line, "")] for line in new
        ]
    found: list[Line] = []
    for before, after in zip(old, new, strict=True):
        first, second = _within(before, after)
        found += [[("- ", "error"), *first], [("+ ", "good"), *second]]
    return found


def _within(before: str, after: str) -> tuple[Line, Line]:
    """Two lines with what differs in the colour of a change: whole words and numbers, no parts of them."""
    old, new = _tokens(before), _tokens(after)
    begin = _alike(old, new)
    end = _alike(old[begin:][::-1], new[begin:][::-1])
    inner = old[begin : len(old) - end], new[begin : len(new) - end]
    if max(map(len, inner)) > _TOKENS:
        blocks = [(0, len(inner[0]), 0, len(inner[1]), True)]
    else:
        matcher = difflib.SequenceMatcher(None, *inner, autojunk=False)
        blocks = [(i, j, k, n, tag != "equal") for tag, i, j, k, n in matcher.get_opcodes()]
    pieces: tuple[Line, Line] = ([], [])
    for piece, tokens, own in ((pieces[0], old, 0), (pieces[1], new, 2)):
        spans = [(begin + block[own], begin + block[own + 1], block[4]) for block in blocks]
        for first, last, is_other in [(0, begin, False), *spans, (len(tokens) - end, len(tokens), False)]:
            if text := "".join(tokens[first:last]):
                piece.append((text, "changed" if is_other else ""))
    return pieces


def _tokens(line: str) -> list[str]:
    """Words, numbers, blanks, and every other sign by itself; of hex each byte, and each sign of its text."""
    if (dump := _HEX.fullmatch(line)) is not None:
        return [*_TOKEN.findall(dump[1]), *dump[2]]
    return _TOKEN.findall(line)


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the first ones are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (first, second) in pairs if first != second), min(len(one), len(other)))
