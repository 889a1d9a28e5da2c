"""Which findings and tests hold each point of what diagnoses promise: `python -m tests.support.points`.

`three ways` are one tap, two taps around nginx and HAProxy, and the captures of two engines
(tests/integration/test_findings_three_ways.py, whose rows have the point's number); `matrix` is every hop and
chain (tests/integration/test_matrix_hops.py, test_matrix_chains.py, test_matrix_alone.py).
"""

from __future__ import annotations

from typing import Final, NamedTuple

_THREE: Final = "integration/test_findings_three_ways.py::test_the_first_finding_of_each_way"
_LISTENER: Final = (
    "integration/test_findings_more_ways.py::test_a_listener_says_what_a_tap_says_however_the_request_comes"
)
_HOPS: Final = "integration/test_matrix_hops.py::test_who_did_it_comes_first_and_nobody_else_is_blamed"
_CHAINS: Final = "integration/test_matrix_chains.py::test_who_did_it_comes_first_in_a_chain"
_ALONE: Final = "integration/test_matrix_alone.py::test_one_tap_says_what_it_is_and_its_neighbours_are_silent"


_DISK: Final = "integration/test_engine_disk.py"
_DIAGNOSE: Final = "unit/cli/test_diagnose.py"
_TWO: Final = "unit/cli/test_diagnose_two_taps.py"
_BLOCKS: Final = "e2e/test_chromium_blocks.py"
_REPLAY: Final = "integration/test_replay_client.py"
_TRIED: Final = "integration/test_fixes_tried.py"
_OUTAGE: Final = (
    "integration/test_findings_more_ways.py::test_an_outage_refuses_polling_too_and_blames_nobody"
)
#: How peers are seen: at one tap, by two taps of one engine, and in the captures of two engines.
WAYS: Final = ("one tap", "two taps", "two captures")
#: How the reason begins why a point cannot be seen in a way.
NONE: Final = "none: "


class Point(NamedTuple):
    """A point: its number, what it is about, ids of findings, and tests (below `tests/`).

    `ways` has for each of `WAYS` a test that shows the point so, or `NONE` and why that cannot be; where it
    is empty, the first test does in all three.
    """

    number: int
    about: str
    ids: str
    tests: tuple[str, ...]
    ways: tuple[str, ...] = ()

    @property
    def by_way(self) -> tuple[str, ...]:
        """The test of each way, or why there is none."""
        return self.ways or (self.tests[0],) * len(WAYS)

    @property
    def command(self) -> str:
        """What plays it, in the root of the repository."""
        files = dict.fromkeys(f"tests/{one.partition('::')[0]}" for one in self.tests)
        return f"python -m pytest {' '.join(files)}"


POINTS: Final = (
    Point(1, "letter case of header names", "WS-HS-104", (_THREE, _HOPS, _CHAINS)),
    Point(
        2,
        "a change explains a status only where it can",
        "WS-HS-105 WS-HS-106 WS-HS-107 WS-CL-102",
        (_THREE, _HOPS, "unit/findings/test_changes.py::test_cookies_are_not_shown"),
    ),
    Point(
        3,
        "added fields; one failure, one voice; chains",
        "WS-HS-108 WS-HS-110 WS-HS-112 WS-HS-113",
        (_THREE, _HOPS, _CHAINS, "unit/findings/test_points.py::test_a_second_opinion_fails"),
    ),
    Point(
        4,
        "lost in the hop",
        "WS-CL-101 WS-MS-102",
        (
            _THREE,
            "integration/test_findings_sandwich.py"
            "::test_a_message_and_a_close_that_the_hop_swallows_are_lost_while_the_server_waits",
        ),
    ),
    Point(
        5,
        "silences and lifetimes",
        "WS-DROP-101 WS-DROP-002 WS-DROP-003 WS-DROP-008 WS-DROP-017",
        (_THREE, _HOPS, "integration/test_findings_drops.py::test_the_same_age_again_and_again"),
    ),
    Point(
        6, "what never came", "WS-KA-006 WS-KA-007 WS-CL-031 WS-MS-003 WS-HS-046", (_THREE, _CHAINS, _ALONE)
    ),
    Point(
        7,
        "the words of an answer, and what is none",
        "WS-HS-018 WS-HS-041 WS-HS-042 WS-HS-043 WS-HS-044 WS-HS-045 WS-TLS-018",
        (_THREE, _CHAINS, _ALONE),
    ),
    Point(
        8,
        "credentials, access lists, limits, gateways",
        "WS-HS-009 WS-HS-010 WS-HS-020 WS-HS-021 WS-HS-040 WS-HS-048",
        (_THREE, _HOPS, "unit/findings/test_logins.py::test_none_were_sent_where_no_cookie_is_a_login"),
    ),
    Point(
        9, "a body in a 101; HTTP in the tunnel", "WS-HS-029 WS-HS-047 WS-FR-002", (_THREE, _CHAINS, _ALONE)
    ),
    Point(
        10,
        "accepted and refused attempts compared",
        "WS-HS-010 WS-HS-043 WS-HS-049",
        (
            _THREE,
            "integration/test_findings_compared.py::test_only_who_stayed_is_what_a_refusal_is_compared_with",
        ),
    ),
    Point(
        11, "close codes", "WS-CL-011 WS-CL-030 WS-CL-034 WS-CL-035 WS-APP-011 WS-APP-022", (_THREE, _HOPS)
    ),
    Point(
        12,
        "nothing passes unseen",
        "WS-PAGE-006 WS-TOOL-006",
        (
            "integration/test_nothing_unseen.py"
            "::test_a_request_in_two_pieces_cut_anywhere_is_a_recorded_websocket",
            "integration/test_nothing_unseen.py"
            "::test_a_tunnel_without_http_is_passed_on_at_once_and_reported",
            _LISTENER,
        ),
        (_LISTENER, _LISTENER, _LISTENER),
    ),
    Point(
        13,
        "what could not be stored",
        "WS-TOOL-003",
        (
            "integration/test_engine_disk.py::test_no_finding_reasons_from_what_a_full_disk_lost",
            "integration/test_engine_disk.py::test_no_rule_over_two_taps_reasons_from_what_a_full_disk_lost",
            "unit/diagnosis/test_gaps.py::test_no_rule_reasons_from_what_was_not_stored",
        ),
        (
            f"{_DISK}::test_no_finding_reasons_from_what_a_full_disk_lost",
            f"{_DISK}::test_no_rule_over_two_taps_reasons_from_what_a_full_disk_lost",
            f"{_TWO}::test_a_silence_with_a_gap_at_either_tap_blames_no_hop",
        ),
    ),
    Point(
        14,
        "a client that gives up",
        "WS-HS-036 WS-DROP-007",
        (
            _THREE,
            "integration/test_findings_faults_around.py"
            "::test_a_client_that_gives_up_before_an_answer_ended_it_and_no_server_is_blamed",
        ),
    ),
    Point(
        15,
        "every failure on the way to a socket",
        "WS-HS-032 WS-TLS-014 WS-TOOL-002 WS-TOOL-005",
        (
            _THREE,
            "integration/test_nothing_unseen.py"
            "::test_our_own_answers_to_plain_requests_are_recorded_and_explained",
            "integration/test_nothing_unseen.py::test_a_tap_aimed_at_a_listener_of_the_same_proxy_is_refused",
        ),
    ),
    Point(
        16,
        "nothing to look at",
        "",
        (
            "unit/cli/test_diagnose.py::test_a_capture_without_connections_is_nothing_to_look_at",
            "unit/cli/test_diagnose.py::test_a_healthy_connection_is_nothing_wrong",
        ),
        (
            f"{_DIAGNOSE}::test_a_capture_without_connections_is_nothing_to_look_at",
            f"{_TWO}::test_two_taps_that_nobody_came_to_are_nothing_to_look_at",
            f"{_TWO}::test_two_taps_that_nobody_came_to_are_nothing_to_look_at",
        ),
    ),
    Point(
        17,
        "browsers: local network, mixed content, limits, leaked CA, HTTP/2",
        "WS-PAGE-003 WS-PAGE-006 WS-PAGE-008 WS-PAGE-009 WS-PAGE-011 WS-TLS-021 WS-TOOL-009 WS-H2-004",
        (
            "e2e/test_chromium_blocks.py::test_a_blocked_page_connects_and_leaves_without_a_byte",
            "e2e/test_chromium_blocks.py::test_mixed_content_is_what_the_rule_takes_for_it",
            "unit/findings/test_mixed_content.py::test_a_public_name_is_refused_by_all",
            "unit/findings/test_left_at_once.py::test_others_at_another_tap_or_refused_there_say_nothing",
        ),
        (
            f"{_BLOCKS}::test_a_blocked_page_connects_and_leaves_without_a_byte",
            f"{_TWO}::test_a_client_without_a_byte_is_told_once_by_every_way",
            f"{_TWO}::test_a_client_without_a_byte_is_told_once_by_every_way",
        ),
    ),
    Point(
        18,
        "files from others",
        "WS-HS-066",
        (
            "unit/formats/test_har_failures.py::test_a_failed_attempt_is_what_the_browser_says_it_is",
            "unit/formats/test_har.py::test_http_toolkits_close_says_the_code_and_not_who_sent_it",
            "unit/formats/test_har.py::test_entries_without_times_are_taken_and_that_is_said",
            "unit/cli/test_diagnose.py::test_a_har_without_a_websocket_is_nothing_to_look_at",
        ),
        (
            "unit/formats/test_har_failures.py::test_a_failed_attempt_is_what_the_browser_says_it_is",
            f"{NONE}a browser or another proxy wrote the file, and saw one side of a hop",
            f"{_TWO}::test_a_har_is_no_side_of_a_hop",
        ),
    ),
    Point(
        19,
        "replay never hangs",
        "",
        (
            "integration/test_replay_client.py::test_connections_with_odd_times_are_all_played",
            "integration/test_replay_client.py::test_a_server_that_stops_reading_is_given_up_after_the_timeout",
            "integration/test_replay_client.py::test_a_failed_attempt_that_is_answered_now_is_a_divergence",
        ),
        (
            f"{_REPLAY}::test_connections_with_odd_times_are_all_played",
            f"{_REPLAY}::test_of_two_taps_around_a_hop_the_clients_alone_are_played",
            f"{NONE}one capture is played",
        ),
    ),
    Point(
        20,
        "fixes are tried",
        "",
        (
            "integration/test_fixes_tried.py::test_the_printed_lines_mend_the_configuration",
            "integration/test_fixes_tried.py::test_every_fix_of_the_five_is_tried_or_has_nothing_to_write",
        ),
        (
            f"{_TRIED}::test_the_printed_lines_mend_the_configuration",
            "integration/test_diagnose_config.py::test_the_line_and_the_diff_are_named_for_what_failed_alone",
            f"{NONE}lines come of the finding and the software, which are those of two taps",
        ),
    ),
    Point(
        21,
        "what was sent, and what never left",
        "",
        (
            _THREE,
            "integration/test_findings_faults_around.py"
            "::test_a_frame_that_our_latency_held_and_an_abort_lost_is_no_loss_of_the_hop",
            "integration/test_findings_faults_around.py"
            "::test_what_a_hop_gets_late_from_us_is_not_late_by_the_hop",
        ),
    ),
    Point(22, "a fault excuses what it can cause", "WS-CL-011 WS-MS-001 WS-FR-002", (_THREE,)),
    Point(
        23,
        "the story is in the capture",
        "WS-TOOL-010",
        (
            _THREE,
            "integration/test_faults_story.py"
            "::test_rules_and_phases_are_events_of_the_capture_and_lines_of_the_run",
        ),
    ),
    Point(
        24,
        "an outage is an outage",
        "WS-TOOL-010 WS-APP-013",
        (
            "integration/test_findings_more_ways.py::test_an_outage_refuses_polling_too_and_blames_nobody",
            "integration/test_findings_more_ways.py"
            "::test_silence_by_a_rule_is_the_tools_before_it_ends_and_afterwards",
            "integration/test_findings_more_ways.py::test_a_refused_port_is_on_record_and_blames_nobody",
            "integration/test_faults_outages.py::test_silence_answers_no_request_until_the_rule_is_gone",
            "integration/test_faults_presets_real.py"
            "::test_a_preset_ends_what_the_real_hop_ends_and_as_it_does",
        ),
        (_OUTAGE, _OUTAGE, _OUTAGE),
    ),
    Point(
        25,
        "what acted, and who is one client",
        "WS-KA-002",
        (
            _THREE,
            "integration/test_replay_client.py::test_a_close_waits_for_the_answers_that_are_outstanding",
            "integration/test_findings_clients_leave.py"
            "::test_a_client_that_exits_within_a_second_of_its_last_message_is_no_error",
            "integration/test_findings_faults_around.py::test_a_reorder_that_nothing_overtook_did_not_act",
            "integration/test_findings_faults_around.py"
            "::test_clients_without_a_user_agent_are_told_apart_behind_a_hop_too",
        ),
    ),
    Point(
        26,
        "proxy requests, scripts, what the API takes",
        "",
        (
            "integration/test_nothing_unseen.py"
            "::test_a_proxy_request_for_a_websocket_url_is_an_opening_handshake",
            _LISTENER,
            "unit/control/test_reading_bodies.py"
            "::test_a_body_of_brackets_is_refused_at_the_first_that_is_too_deep",
            "unit/faults/test_documents.py::test_nesting_without_end_is_refused_at_its_place_and_at_once",
        ),
        (_LISTENER, _LISTENER, _LISTENER),
    ),
    Point(
        27,
        "a capture from a stranger",
        "",
        ("unit/formats/test_damaged_files.py::test_a_damaged_file_is_one_line_or_a_capture",),
        (
            "unit/formats/test_damaged_files.py::test_a_damaged_file_is_one_line_or_a_capture",
            f"{NONE}both taps are in one file",
            f"{_TWO}::test_a_damaged_capture_on_either_side_is_said_and_what_was_read_is_kept",
        ),
    ),
)


def page() -> str:
    """The table, in Markdown."""
    lines = [
        f"| point | about | findings | command | {' | '.join(WAYS)} |",
        "|---|---|---|---" + "|---" * 3 + "|",
    ]
    for one in POINTS:
        ways = " | ".join(way if way.startswith(NONE) else f"`{way}`" for way in one.by_way)
        ids = one.ids.replace(" ", ", ") or "-"
        lines.append(f"| {one.number} | {one.about} | {ids} | `{one.command}` | {ways} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page())
