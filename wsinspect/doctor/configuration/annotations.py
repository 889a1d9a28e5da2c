"""What an annotation of a Kubernetes object does to a WebSocket, by the table in `data/annotations.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.documents import Node
from wsinspect.doctor.configuration.model import Defect, Kind

_REMOVE: Final = "remove"


class Annotation(NamedTuple):
    """A row of the table.

    Attributes:
        keys: names that mean the same.
        unless: a pattern of values that do no harm; empty where every value does some.
        mend: the value that is right, or `remove`; empty where only its owner knows.
        is_possible: whether it answers by what is not known here.
        source: the document that says so.
    """

    keys: tuple[str, ...]
    kind: Kind
    words: str
    source: str
    unless: str = ""
    status: int | None = None
    mend: str = ""
    is_possible: bool = False


@cache
def table() -> tuple[Annotation, ...]:
    """All rows of the file, in its order."""
    text = files("wsinspect.doctor.configuration.data").joinpath("annotations.toml").read_text("utf-8")
    return tuple(
        Annotation(
            tuple(row["keys"]),
            row["kind"],
            row["words"],
            row["source"],
            row.get("unless", ""),
            row.get("status"),
            row.get("mend", ""),
            row.get("possible", False),
        )
        for row in tomllib.loads(text)["annotation"]
    )


def judged(notes: Mapping[str, Node]) -> Iterator[tuple[Annotation, Defect]]:
    """What the annotations of an object break, in the order of the table."""
    for row in table():
        for key in row.keys:
            one = notes.get(key)
            if one is None or (row.unless and re.fullmatch(row.unless, one.text)):
                continue
            edits = one.without() if row.mend == _REMOVE else one.with_value(row.mend) if row.mend else ()
            words = f"'{key.rpartition('/')[2]}: {one.text}': {row.words}"
            yield row, Defect(row.kind, words, one.at, edits, status=row.status)
