"""Heads kept byte for byte; h11, the strict judge, keeps neither white space nor line ends.

Contract: `RawHead.parse(raw).raw == raw` for any bytes, and parsing never raises. Facts that are absent or
unreadable are empty (`b""`) or `None`. A head is forwarded as it came unless a field really changed:
`RawHead.rebuild()` reuses the received lines of every field that is to be sent unchanged.
Syntax: RFC 9112 §2 to §5. A bare LF ends a line, a folded line (§5.2) belongs to the field it continues, and
a line without a colon stays where it is as a field without a name.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_FOLD = re.compile(rb"[ \t]*\r?\n[ \t]+")
_BARE_FOLD = re.compile(rb"[ \t]*\r?\n[ \t]*")
#: The heads that were read last, up to this size, are not read again: whoever looks at an opening handshake
#: asks several times about the same one.
_REMEMBERED, _REMEMBERED_BYTES = 8, 16 * 1024
#: How a header block of HTTP/2 begins, written one field a line (RFC 9113 section 8.3, RFC 8441 section 4).
_PSEUDO_FIELDS = (b":method:", b":scheme:", b":authority:", b":path:", b":protocol:", b":status:")


class Field(NamedTuple):
    """One header field.

    Attributes:
        name: as sent, with its case; `b""` for a line without a colon.
        value: without surrounding white space, folds replaced by one space.
        raw: the line or lines as received, line ends included.
    """

    name: bytes
    value: bytes
    raw: bytes

    @property
    def key(self) -> bytes:
        """The name in lower case without white space: what names are compared by."""
        return self.name.strip().lower()


@dataclass(frozen=True, slots=True)
class RawHead:
    """A request or response head.

    Attributes:
        preamble: empty lines before the start line (RFC 9112 §2.2).
        start_raw: the start line with its line end.
        fields: the fields in order.
        end: the empty line that ends the head; `b""` while it has not come.
        rest: what follows the head in the bytes given to `parse`.
    """

    preamble: bytes
    start_raw: bytes
    fields: tuple[Field, ...]
    end: bytes
    rest: bytes = b""

    @classmethod
    def parse(cls, raw: bytes) -> RawHead:
        """Reads a head from any bytes, the head alone or with what follows it."""
        return _parse(raw) if len(raw) <= _REMEMBERED_BYTES else cls._parse(raw)

    @classmethod
    def _parse(cls, raw: bytes) -> RawHead:
        lines = deque(_LINE.findall(raw))
        preamble: list[bytes] = []
        while lines and _is_empty(lines[0]):
            preamble.append(lines.popleft())
        is_http2 = bool(lines) and lines[0].startswith(_PSEUDO_FIELDS)
        start_raw = lines.popleft() if lines and not is_http2 else b""
        groups: list[bytes] = []
        end = b""
        while lines:
            line = lines.popleft()
            if _is_empty(line):
                end = line
                break
            if groups and line[:1] in (b" ", b"\t"):
                groups[-1] += line
            else:
                groups.append(line)
        return cls(b"".join(preamble), start_raw, tuple(map(_field, groups)), end, b"".join(lines))

    @property
    def raw(self) -> bytes:
        """All bytes given to `parse`."""
        return self.head + self.rest

    @property
    def head(self) -> bytes:
        """The bytes of the head alone."""
        return b"".join((self.preamble, self.start_raw, *(field.raw for field in self.fields), self.end))

    @property
    def is_complete(self) -> bool:
        """Whether the empty line that ends the head has come."""
        return bool(self.end)

    @property
    def is_http2(self) -> bool:
        """Whether it is one of HTTP/2: pseudo-header fields in the place of a start line."""
        return not self.start_raw and bool(self.fields) and self.fields[0].name[:1] == b":"

    @property
    def is_extended_connect(self) -> bool:
        """Whether it asks for a protocol over HTTP/2 (RFC 8441 section 4)."""
        return self.is_http2 and self.get(":method") == b"CONNECT" and self.get(":protocol") is not None

    @property
    def start_line(self) -> bytes:
        """The start line without its line end; of HTTP/2, what it would be."""
        if not self.is_http2:
            return _without_line_end(self.start_raw)
        status = self.get(":status")
        if status is not None:
            return b"HTTP/2.0 " + status
        path = self.get(":path") or self.get(":authority") or b""
        return b" ".join((self.get(":method") or b"-", path or b"-", b"HTTP/2.0"))

    @property
    def is_response(self) -> bool:
        """Whether the start line is a status line."""
        return self.start_line[:5].upper() == b"HTTP/"

    @property
    def _parts(self) -> list[bytes]:
        parts = self.start_line.split(None, 2)
        return parts + [b""] * (3 - len(parts))

    @property
    def method(self) -> bytes:
        """A request's method, as sent."""
        return b"" if self.is_response else self._parts[0]

    @property
    def target(self) -> bytes:
        """A request's target, as sent: origin form or absolute form (RFC 9112 §3.2)."""
        return b"" if self.is_response else self._parts[1]

    @property
    def http_version(self) -> bytes:
        """Such as `b"HTTP/1.1"`, as sent."""
        return self._parts[0] if self.is_response else self._parts[2]

    @property
    def status(self) -> int | None:
        """A response's status: three digits, else None."""
        code = self._parts[1]
        return int(code) if self.is_response and len(code) == 3 and code.isdigit() else None

    @property
    def reason(self) -> bytes:
        """A response's reason phrase, may be empty."""
        return self._parts[2] if self.is_response else b""

    def get_all(self, name: bytes | str) -> list[bytes]:
        """The values of all fields of that name, in order; case does not matter."""
        key = _key(name)
        # `Field.key`, written out: the recorder asks dozens of times for each opening handshake.
        return [value for name, value, _ in self.fields if name.strip().lower() == key]

    def get(self, name: bytes | str) -> bytes | None:
        """The value of the first field of that name."""
        return next(iter(self.get_all(name)), None)

    def elements(self, name: bytes | str) -> list[bytes]:
        """The members of a comma-separated list field, over all its lines (RFC 9110 §5.6.1), case kept."""
        return [element for value in self.get_all(name) for element in split_list(value)]

    def tokens(self, name: bytes | str) -> list[str]:
        """`elements` in lower case, for fields whose members ignore case such as Connection and Upgrade."""
        return [element.lower().decode("latin-1") for element in self.elements(name)]

    def rebuild(
        self, start_line: bytes | None = None, fields: Iterable[tuple[bytes, bytes]] | None = None
    ) -> RawHead:
        """A head that differs from this one only where what is to be sent differs.

        Args:
            start_line: the start line to send, without line end; None leaves it.
            fields: names and values to send, in order; None leaves them. A pair that equals a received one
                takes that one's raw line, another gets a line of its own. Lines without a colon stay.
        """
        head = replace(self, rest=b"")
        if start_line is not None and start_line != self.start_line:
            head = replace(head, start_raw=start_line + b"\r\n")
        if fields is not None:
            head = replace(head, fields=_merge(self.fields, list(fields)), end=self.end or b"\r\n")
        return head


def split_list(value: bytes, separator: bytes = b",") -> list[bytes]:
    """The non-empty parts of `value` between separators, which do not count inside a quoted string."""
    pieces = _split_unquoted(value, separator) if b'"' in value else value.split(separator)
    return [part for part in (piece.strip(b" \t") for piece in pieces) if part]


def _split_unquoted(value: bytes, separator: bytes) -> Iterator[bytes]:
    start, quoted, escaped = 0, False, False
    for index in range(len(value)):
        char = value[index : index + 1]
        if escaped:
            escaped = False
        elif quoted and char == b"\\":
            escaped = True
        elif char == b'"':
            quoted = not quoted
        elif char == separator and not quoted:
            yield value[start:index]
            start = index + 1
    yield value[start:]


@functools.lru_cache(maxsize=_REMEMBERED)
def _parse(raw: bytes) -> RawHead:
    return RawHead._parse(raw)


def _is_empty(line: bytes) -> bool:
    return line in (b"\r\n", b"\n")


def _without_line_end(line: bytes) -> bytes:
    if line.endswith(b"\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(b"\n") else line


def _field(raw: bytes) -> Field:
    line = _without_line_end(raw)
    is_pseudo = line[:1] == b":" and line.startswith(_PSEUDO_FIELDS)
    name, colon, value = line[is_pseudo:].partition(b":")
    if is_pseudo:
        name = b":" + name
    if not colon:
        name, value = b"", name
    if b"\n" in value:
        value = _FOLD.sub(b" ", value)
    return Field(name, value.strip(), raw)


def _key(name: bytes | str) -> bytes:
    return (name.encode("latin-1", "replace") if isinstance(name, str) else name).lower()


def _same_as(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """What two fields must share to count as unchanged: white space around and inside folds says nothing."""
    return name.strip(), _BARE_FOLD.sub(b" ", value).strip()


def _merge(received: Sequence[Field], wanted: Sequence[tuple[bytes, bytes]]) -> tuple[Field, ...]:
    unused: dict[tuple[bytes, bytes], deque[int]] = defaultdict(deque)
    for index, field in enumerate(received):
        if field.name:
            unused[_same_as(field.name, field.value)].append(index)
    plan: list[tuple[int | None, Field]] = []
    for name, value in wanted:
        same = unused.get(_same_as(name, value))
        if same:
            index = same.popleft()
            plan.append((index, received[index]))
        else:
            plan.append((None, Field(name, value, name + b": " + value + b"\r\n")))
    return tuple(_with_nameless(received, plan))


def _with_nameless(received: Sequence[Field], plan: Sequence[tuple[int | None, Field]]) -> Iterator[Field]:
    """The planned fields, each followed by the lines without a colon that followed it before."""
    kept = {index for index, _ in plan}
    followers: dict[int, list[Field]] = defaultdict(list)
    anchor = -1
    for index, field in enumerate(received):
        if index in kept:
            anchor = index
        elif not field.name:
            followers[anchor].append(field)
    yield from followers[-1]
    for planned, field in plan:
        yield field
        if planned is not None:
            yield from followers[planned]


#: What h11 bears and Node's parser does not (measured: Node 20).
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_FOLDED: Final = re.compile(rb"\n[ \t]")


def loose_syntax(head: bytes) -> str | None:
    """What of a response's header block only tolerant clients take (RFC 9112); None where it is in order."""
    if _BARE_LF.search(head):
        return "its lines end with LF instead of CR LF (section 2.2)"
    return "a field is continued on the next line (section 5.2)" if _FOLDED.search(head) else None
