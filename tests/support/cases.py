"""All cases of the byte checker; see frame_cases.py, handshake_cases.py and end_cases.py."""

from __future__ import annotations

import functools

from tests.support.end_cases import end_cases
from tests.support.frame_cases import frame_cases
from tests.support.handshake_cases import extension_cases, handshake_cases
from tests.support.random_cases import random_cases
from tests.support.script import Case


@functools.cache  # several modules ask when they are collected, on every worker
def all_cases() -> tuple[Case, ...]:
    cases = (*frame_cases(), *handshake_cases(), *extension_cases(), *end_cases(), *random_cases())
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise ValueError("two cases of one name")
    return cases
