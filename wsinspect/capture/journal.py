"""The journal: what the engine saw, appended to segment files before anything looks at it.

The engine hands every raw chunk and every event to a `JournalWriter`; the recorder, another process, tails
the same directory with a `JournalReader`. The journal is the spill and the crash safety in one. Its parts
are `journal_format` (records, names, locks), `journal_writer` and `journal_reader`; all import the standard
library only.
"""

from wsinspect.capture.journal_format import (
    BODY,
    BODY_BYTES,
    DATA,
    EVENT,
    HEAD,
    HEAD_INFORMATIONAL,
    HEAD_REQUEST_IN,
    HEAD_REQUEST_OUT,
    HEAD_RESPONSE_IN,
    HEAD_RESPONSE_OUT,
    HEADER,
    JournalInUseError,
    JournalLock,
    Position,
    Record,
    is_locked,
    journal_directory,
    segment_numbers,
    segment_path,
)
from wsinspect.capture.journal_reader import JournalReader
from wsinspect.capture.journal_writer import BACKLOG_BYTES, JournalWriter

__all__ = [
    "BACKLOG_BYTES",
    "BODY",
    "BODY_BYTES",
    "DATA",
    "EVENT",
    "HEAD",
    "HEADER",
    "HEAD_INFORMATIONAL",
    "HEAD_REQUEST_IN",
    "HEAD_REQUEST_OUT",
    "HEAD_RESPONSE_IN",
    "HEAD_RESPONSE_OUT",
    "JournalInUseError",
    "JournalLock",
    "JournalReader",
    "JournalWriter",
    "Position",
    "Record",
    "is_locked",
    "journal_directory",
    "segment_numbers",
    "segment_path",
]
