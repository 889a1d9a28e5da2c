"""Types of fields that are bytes or headers; `values` has the quantities."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.faults.values import JsonSchema, ValueType, is_header_value

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True)
class Payload(ValueType):
    """Bytes: a text, `{hex: ...}` or `{base64: ...}`; on a command line `hex:...`.

    Attributes:
        least: how many there are at least, 0 or 1.
    """

    least: int = 0

    name = "payload"

    @property
    def expected(self) -> str:  # type: ignore[override]
        return "a text, {hex: ...} or {base64: ...}" + (", one byte at least" if self.least else "")

    def parse(self, raw: Any) -> bytes:
        found = self._parse(raw)
        if len(found) < self.least:
            raise self.wrong(raw)
        return found

    def _parse(self, raw: Any) -> bytes:
        try:
            if isinstance(raw, bytes):
                return raw
            if isinstance(raw, str):
                if raw.startswith("hex:"):
                    return bytes.fromhex(raw[4:])
                return raw.encode()
            if isinstance(raw, Mapping) and len(raw) == 1:
                if "hex" in raw:
                    return bytes.fromhex(raw["hex"])
                if "base64" in raw:
                    return base64.b64decode(raw["base64"], validate=True)
        except (ValueError, TypeError, binascii.Error):
            pass
        raise self.wrong(raw)

    def render(self, value: Any) -> Any:
        try:
            text: str = value.decode()
        except UnicodeDecodeError:
            return {"hex": value.hex()}
        return {"hex": value.hex()} if text.startswith("hex:") else text

    def schema(self) -> JsonSchema:
        many = "+" if self.least else "*"
        text = {"pattern": "^(?!hex:\\s*$)", "minLength": 1} if self.least else {}
        return {
            "anyOf": [
                {"type": "string", **text},
                _one_key("hex", {"type": "string", "pattern": f"^([0-9A-Fa-f]{{2}}){many}$"}),
                _one_key("base64", {"type": "string", "pattern": f"^[A-Za-z0-9+/]{many}={{0,2}}$"}),
            ]
        }


class Names(ValueType):
    """Header field names: a list, or one text with commas."""

    name = "names"
    expected = "a list of header field names"

    def parse(self, raw: Any) -> tuple[str, ...]:
        if isinstance(raw, str):
            raw = [part.strip() for part in raw.split(",")]
        if not isinstance(raw, Sequence) or not raw:
            raise self.wrong(raw)
        if not all(isinstance(name, str) and _TOKEN.fullmatch(name) for name in raw):
            raise self.wrong(list(raw))
        return tuple(raw)

    def render(self, value: Any) -> Any:
        return list(value)

    def schema(self) -> JsonSchema:
        one = {"type": "string", "pattern": f"^{_TOKEN.pattern}$"}
        return {"anyOf": [{"type": "array", "items": one, "minItems": 1}, one]}


class Headers(ValueType):
    """Header fields: a mapping of names to values; on a command line `Name: value`."""

    name = "headers"
    expected = "header fields as {Name: value}"

    def parse(self, raw: Any) -> tuple[tuple[str, str], ...]:
        if isinstance(raw, str) and ":" in raw:
            name, _, value = raw.partition(":")
            raw = {name.strip(): value.strip()}
        if not isinstance(raw, Mapping):
            raise self.wrong(raw)
        pairs = tuple((name, _header_text(value)) for name, value in raw.items())
        if not all(
            isinstance(name, str) and _TOKEN.fullmatch(name) and is_header_value(value)
            for name, value in pairs
        ):
            raise self.wrong(dict(raw))
        return pairs

    def render(self, value: Any) -> Any:
        return dict(value)

    def schema(self) -> JsonSchema:
        values = {"type": ["string", "integer"], "pattern": r"^[ -~]*$"}
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{_TOKEN.pattern}$"},
            "additionalProperties": values,
        }


def _header_text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else "\n"


def _one_key(key: str, schema: JsonSchema) -> JsonSchema:
    return {"type": "object", "properties": {key: schema}, "required": [key], "additionalProperties": False}


PAYLOAD: Final = Payload()
NAMES: Final = Names()
HEADERS: Final = Headers()
