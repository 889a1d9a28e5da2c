"""What nginx answers inside of an `if` or `limit_except` is named with it: the condition is the cause."""

from __future__ import annotations

import pytest

from tests.support.configurations import met_in

SERVER = "server {{ {server} location /ws {{ {inside} proxy_pass http://app; }} }}"


def met(folder, inside, server=""):
    files = {"app.conf": SERVER.format(server=server, inside=inside)}
    return met_in(folder, files, "ws://localhost/ws", "app.conf")


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("return 403;", "'return 403' answers before"),
        ("if ($http_origin !~ good) { return 403; }", "'return 403' in 'if ($http_origin !~ good)' answers"),
        ("if ($http_upgrade) { return 444; }", "'return 444' in 'if ($http_upgrade)' closes"),
        ("deny all;", "'deny all' answers before"),
        ("limit_except POST { deny all; }", "'deny all' in 'limit_except POST' answers before"),
        ("limit_except POST { allow 10.0.0.1; deny all; }", "'deny all' in 'limit_except POST' answers all"),
    ],
)
def test_the_condition_around_what_answers_is_named(tmp_path, inside, words):
    assert met(tmp_path, inside).defects[0].words.startswith(words)


def test_a_condition_of_the_server_is_named(tmp_path):
    (found, *_) = met(tmp_path, "", "if ($request_method = GET) { return 405; }").defects
    assert found.words.startswith("'return 405' in 'if ($request_method = GET)' answers")


def test_a_long_condition_is_cut(tmp_path):
    (found, *_) = met(tmp_path, f"if ($http_origin !~ {'a' * 200}) {{ return 403; }}").defects
    assert "…' answers" in found.words
    assert len(found.words) < 150


def test_the_condition_that_is_not_known_is_named(tmp_path):
    words = [one.words for one in met(tmp_path, "if ($cookie_beta) { return 403; }").possible]
    assert "'return 403' answers where 'if ($cookie_beta)' holds, which is not known here" in words
