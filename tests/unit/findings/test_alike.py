"""Findings that say the same are one to a reader."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wsinspect.findings.alike import alike
from wsinspect.findings.model import Finding


def finding(title: str, connection: int = 1, **more: Any) -> Finding:
    facts: dict[str, Any] = {
        "id": "WS-DROP-101",
        "severity": "error",
        "fault_of": "hop",
        "hop": "nginx",
        "confidence": "high",
        "title": title,
        "meaning": "",
        "js": "",
        "evidence": (),
        "fixes": (),
        "connection": connection,
    }
    return Finding(**(facts | more))


def titles(*given_titles: str) -> list[str]:
    ones = [finding(title, number) for number, title in enumerate(given_titles, 1)]
    return [group[0].title for group in alike(ones)]


def test_silences_of_one_limit_are_one_finding_with_their_span():
    assert titles(
        "closed after 6.8 s without data", "closed after 7 s without data", "closed after 6.78 s without data"
    ) == ["closed after 6.78 to 7 s without data"]
    assert titles("closed after 990 ms", "closed after 1 s") == ["closed after 990 ms to 1 s"]
    assert titles("lived 59 s of 1 min", "lived 1 min 2 s of 1 min") == ["lived 59 s to 1 min 2 s of 1 min"]


def test_other_durations_are_other_findings():
    assert titles("closed after 6.8 s", "closed after 60 s", "closed after 7 s") == [
        "closed after 6.8 to 7 s",
        "closed after 60 s",
    ]


def test_other_numbers_tell_findings_apart():
    for pair in (
        ("HTTP 403 of the server", "HTTP 404 of the server"),
        ("closed with 4001", "closed with 4002"),
        ("sent 5 PINGs", "sent 6 PINGs"),
        ("'after 5 s'", "'after 9 s'"),
        ("host 10.0.0.1:80", "host 10.0.0.1:81"),
    ):
        assert titles(*pair) == list(pair)


def test_rule_hop_and_severity_tell_findings_apart():
    ones = [
        finding("t"),
        finding("t", hop="HAProxy"),
        finding("t", severity="note"),
        finding("t", id="WS-DROP-102"),
    ]
    assert [len(group) for group in alike(ones)] == [1, 1, 1, 1]


def test_all_connections_are_kept_in_their_order():
    ones = [finding(f"closed after {7 + number / 100:.2f} s", number) for number in range(9)]
    (group,) = alike(ones)
    assert [one.connection for one in group] == list(range(9))
    assert group[0].title == "closed after 7.00 to 7.08 s"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a {}", "b {} of {}"]),
            st.integers(0, 10**6),
            st.sampled_from(["ms", "s", "min"]),
        )
    )
)
def test_every_finding_is_in_one_group(drawn):
    ones = [
        finding(words.replace("{}", f"{number} {unit}"), place)
        for place, (words, number, unit) in enumerate(drawn)
    ]
    groups = alike(ones)
    assert sorted(one.connection or 0 for group in groups for one in group) == list(range(len(ones)))
    assert [group[0].connection for group in groups] == sorted(group[0].connection or 0 for group in groups)


def test_other_words_of_a_peer_are_other_findings():
    def counts(*lines: str) -> list[int]:
        return [
            len(group)
            for group in alike([finding("refused", n, evidence=(line,)) for n, line in enumerate(lines)])
        ]

    assert counts(
        "HTTP/1.1 500 Internal Server Error after 3 ms", "HTTP/1.1 501 Not Implemented after 3 ms"
    ) == [1, 1]
    closed = "the server closed with 1008 (policy violation), reason "
    assert counts(f"{closed}'no seat'", f"{closed}'banned'", f"{closed}'no seat'") == [2, 1]
    assert counts("the answer says: no such room", "the answer says: token expired") == [1, 1]


def test_numbers_within_words_and_words_that_are_names_are_no_other_findings():
    lines = ["the answer says: request 8f3a-1 failed", "the answer says: request 77b2-9 failed"]
    slow = ["HTTP/1.1 500 Internal Server Error after 3 ms", "HTTP/1.1 500 Internal Server Error after 7.1 s"]
    names = [
        f"the answer says: {name} is not here" for name in ("ann", "ben", "cat", "dan", "eve", "fay", "gil")
    ]
    for same in (lines, slow, names, ["seen at one time", "seen at another"]):
        assert len(alike([finding("refused", n, evidence=(line,)) for n, line in enumerate(same)])) == 1
