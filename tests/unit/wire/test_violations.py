"""The table of violations."""

from __future__ import annotations

import re

from wsinspect.wire import violations


def test_every_code_has_a_sentence_and_a_section():
    constants = {
        value for name, value in vars(violations).items() if name.isupper() and isinstance(value, str)
    }
    assert constants == set(violations.VIOLATIONS)
    for code, violation in violations.VIOLATIONS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
        assert violation.sentence.endswith(".")
        assert violation.section.startswith("RFC ")
