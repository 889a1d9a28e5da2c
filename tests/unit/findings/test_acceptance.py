"""Whether a 101 was meant: by the code, by when the end came, and by what the server had said."""

import pytest

from wsinspect.findings.acceptance import is_refusal, is_taken_back
from wsinspect.wire.close_codes import REFUSING

SECOND = 1_000_000_000


@pytest.mark.parametrize("code", sorted(REFUSING))
def test_a_refusing_code_soon_after_the_101_is_a_refusal(code):
    assert is_refusal(code, 0)
    assert is_refusal(code, 10 * SECOND)
    assert not is_refusal(code, 10 * SECOND + 1)
    assert not is_refusal(code, None)


@pytest.mark.parametrize("code", [None, 1000, 1001, 1002, 1006, 1011, 1012, 1013, 4000, 4429, 4999])
def test_other_codes_are_none(code):
    assert not is_refusal(code, 0)


@pytest.mark.parametrize("ended_by", ["server", "both", "unknown"])
def test_a_refusal_takes_a_101_back_whatever_was_said_before(ended_by):
    for frames in (None, 0, 3):
        assert is_taken_back(ended_by=ended_by, code=1008, age_ns=SECOND, server_frames=frames)


@pytest.mark.parametrize("ended_by", [None, "client", "proxy", "fault"])
def test_whom_the_server_did_not_end_it_had_accepted(ended_by):
    assert not is_taken_back(ended_by=ended_by, code=1008, age_ns=SECOND, server_frames=0)


@pytest.mark.parametrize("code", [None, 1000, 1002, 1006, 1011, 4321])
def test_any_end_at_once_by_a_server_that_said_nothing_takes_it_back(code):
    def judge(ended_by="server", age_ns=SECOND, server_frames=0):
        return is_taken_back(ended_by=ended_by, code=code, age_ns=age_ns, server_frames=server_frames)

    assert judge()
    assert judge(age_ns=3 * SECOND)
    assert not judge(age_ns=3 * SECOND + 1)
    assert not judge(server_frames=1)
    assert not judge(server_frames=None)
    assert not judge(age_ns=None)
    assert not judge(ended_by="unknown"), "a file that does not say who ended it"
