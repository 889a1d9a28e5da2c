"""Placeholders, with a clock and random bytes that the test chooses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsinspect.peers.templates import TemplateError, Values, check, has_placeholders, render, render_json

NOW = 1_795_960_982_123_000_000


def values(said: bytes = b"", **environment: str) -> Values:
    return Values(lambda: NOW, lambda count: b"\x01" * count, environment, said=said)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("no placeholder", "no placeholder"),
        ("{{seq}} {{ seq }}", "1 2"),
        ("{{now}}", "2026-11-29T14:03:02.123Z"),
        ("{{ms}}", "1795960982123"),
        ("{{uuid}}", "01010101-0101-4101-8101-010101010101"),
        ("{{random 5 5}}", "5"),
        ("{{env USER}}", "jo"),
        ('{"id":{{$.id}},"name":"{{$.name}}"}', '{"id":7,"name":"a"}'),
        ("{{$.list[1]}}", '{"b":1}'),
        (r"\{{seq}}", "{{seq}}"),
        ("{ {seq} }", "{ {seq} }"),
    ],
)
def test_they_are_filled(text, filled):
    said = b'{"id": 7, "name": "a", "list": [0, {"b": 1}]}'
    check(text)
    assert render(text, values(said, USER="jo")) == filled


@pytest.mark.parametrize("text", ["{{}}", "{{sequence}}", "{{random 6 1}}", "{{env}}", "{{$.}}", "{{$.a b}}"])
def test_what_is_not_known_is_a_mistake_before_anything_is_sent(text):
    with pytest.raises(TemplateError, match=r"\{\{"):
        check(text)


@pytest.mark.parametrize("text", ["{{env MISSING}}", "{{$.id}}"])
def test_what_has_no_value_is_a_mistake(text):
    check(text)
    with pytest.raises(TemplateError):
        render(text, values(b"not json"))


def test_a_document_keeps_its_types():
    document = {
        "id": "{{$.id}}",
        "n": "{{seq}}",
        "text": "no. {{seq}}",
        "list": ["{{$.all}}", 1.5, None, True],
    }
    assert render_json(document, values(b'{"id": 7, "all": [1]}')) == {
        "id": 7,
        "n": 1,
        "text": "no. 2",
        "list": [[1], 1.5, None, True],
    }


@given(st.text().filter(lambda text: not has_placeholders(text)))
def test_text_without_them_is_left_alone(text):
    assert render(text, values()) == text


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**9), st.binary(min_size=16, max_size=16))
def test_random_numbers_are_in_their_range(least, span, octets):
    made = Values(lambda: NOW, lambda _count: octets)
    assert least <= int(render(f"{{{{random {least} {least + span}}}}}", made)) <= least + span


@given(st.text(max_size=30))
def test_any_text_is_filled_or_refused(text):
    with contextlib.suppress(TemplateError):
        check(text)
        assert isinstance(render(text, values(b"{}")), str)
