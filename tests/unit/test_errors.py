"""The errors that are ours to raise."""

from __future__ import annotations

from wsinspect.errors import CaptureError, LocalError, UpstreamError, UsageError, WsinspectError


def test_exit_codes_are_those_of_the_command_line():
    codes = {error: error.exit_code for error in (UpstreamError, UsageError, CaptureError, LocalError)}
    assert codes == {UpstreamError: 1, UsageError: 2, CaptureError: 2, LocalError: 3}
    assert all(issubclass(error, WsinspectError) for error in codes)


def test_an_error_is_one_line_with_its_hint():
    assert str(LocalError("port 8080 is taken", hint="choose another with --listen")) == (
        "port 8080 is taken (choose another with --listen)"
    )
    error = UsageError("no such tap")
    assert (str(error), error.message, error.hint) == ("no such tap", "no such tap", "")
