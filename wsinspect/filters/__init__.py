"""The filter language: one for `show`, the timeline, faults and export. Sans-I/O.

`parse` reads a filter, `complete` helps while it is typed, `FIELDS` has every key. Filters are asked about
`FrameFacts` and `ConnectionFacts`; how one runs over a capture is in `wsinspect.capture.filtering`.
"""

from __future__ import annotations

from wsinspect.filters.completion import Candidate, Completion, complete, help_lines
from wsinspect.filters.errors import FilterError
from wsinspect.filters.facts import ConnectionFacts, FrameFacts
from wsinspect.filters.fields import FIELDS, Field, Scope
from wsinspect.filters.language import Filter, parse

__all__ = [
    "FIELDS",
    "Candidate",
    "Completion",
    "ConnectionFacts",
    "Field",
    "Filter",
    "FilterError",
    "FrameFacts",
    "Scope",
    "complete",
    "help_lines",
    "parse",
]
