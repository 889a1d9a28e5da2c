"""Which attempts are one client's, and their neighbours that are not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.clients.made import digest, lost, refused, stalled, tried
from wsinspect.clients.facts import Attempt, Transport
from wsinspect.clients.joining import Confidence, Session, join


def sessions(*attempts: Attempt) -> list[list[int]]:
    return [[one.id for one in session.attempts] for session in join(attempts)]


def only(*attempts: Attempt) -> Session:
    [session] = join(attempts)
    return session


def user(name: str) -> dict[str, Any]:
    return {"parts": {"cookie sid": digest(name)}}


def test_a_client_that_comes_back_is_the_same():
    session = only(lost(0, 5, id=1), refused(6, id=2), tried(7, id=3))
    assert session.number == 1
    assert session.confidence == Confidence.MEDIUM
    assert session.known_by == ("address", "path", "User-Agent")


def test_credentials_make_it_sure_and_are_named():
    session = only(lost(0, 5, **user("ann")), tried(7, **user("ann")))
    assert session.confidence == Confidence.HIGH
    assert "cookie sid" in session.known_by


@pytest.mark.parametrize("field", ["tap", "address", "place", "path", "user_agent", "origin"])
def test_what_differs_in_what_stays_is_another_client(field: str):
    assert len(sessions(lost(0, 5), tried(7, **{field: "/other"}))) == 2


def test_two_clients_with_different_cookies_are_two_even_one_after_the_other():
    first, second = lost(0, 5, **user("ann"), id=1), tried(1, **user("bob"), id=2)
    assert sessions(first, second, tried(6, **user("ann"), id=3)) == [[1, 3], [2]]


def test_a_new_token_is_the_same_client_where_only_one_is_missing_but_a_guess():
    session = only(lost(0, 5, **user("old")), tried(7, **user("new")))
    assert session.confidence == Confidence.LOW
    assert session.doubts == ("its cookie sid changed",)


def test_a_new_token_while_two_are_missing_is_a_third_client():
    first, second = lost(0, 5, **user("ann"), id=1), lost(1, 5, **user("bob"), id=2)
    assert sessions(first, second, tried(7, **user("eve"), id=3)) == [[1], [2], [3]]


def test_two_tabs_alike_are_two_clients_and_each_comes_back():
    first, second = lost(0, 5, id=1), lost(0.1, 5.5, id=2)
    found = join((first, second, tried(6, id=3), tried(7, id=4)))
    assert [[one.id for one in session.attempts] for session in found] == [[1, 3], [2, 4]]
    assert all(session.confidence == Confidence.LOW for session in found)


def test_a_second_socket_right_after_a_reconnect_is_the_same_clients():
    session = only(lost(0, 5, id=1), tried(6, id=2), tried(6.2, id=3))
    assert session.confidence <= Confidence.MEDIUM
    assert session.doubts == ("a second socket may be another client's",)


def test_a_second_socket_without_an_outage_is_another_client():
    assert sessions(tried(0, id=1), tried(6, id=2)) == [[1], [2]]


def test_a_try_while_the_one_before_has_no_answer_is_the_same_clients():
    hung: dict[str, Any] = {"open_ns": None, "state": "connecting"}
    assert sessions(tried(0, id=1, **hung), tried(3, id=2, **hung), tried(6, id=3, **hung)) == [[1, 2, 3]]


def test_two_that_connect_at_the_same_moment_are_two():
    assert sessions(tried(0, id=1), tried(0.001, id=2)) == [[1], [2]]


def test_a_client_behind_a_half_open_connection_comes_back_with_another_one():
    assert sessions(stalled(0, 5, noticed=None, id=1), tried(9, id=2)) == [[1, 2]]


def test_a_stall_that_is_over_leaves_the_client_connected():
    assert sessions(stalled(0, 5, noticed=None, until=6, id=1), tried(60, id=2)) == [[1], [2]]


def test_a_restart_of_the_proxy_is_no_end_but_a_doubt():
    session = only(lost(0, 5, "proxy", run=1, **user("ann")), tried(7, run=2, **user("ann")))
    assert session.confidence == Confidence.MEDIUM
    assert session.doubts == ("the proxy was restarted in between",)


def test_the_users_choice_joins_sockets_of_different_ports_tokens_and_times():
    ann: dict[str, Any] = {"chosen": digest("ann")}
    bob: dict[str, Any] = {"chosen": digest("bob")}
    made = (
        tried(0, id=1, **ann),
        tried(0, id=2, **bob),
        tried(1, id=3, **ann, **user("x"), address="10.9.9.9"),
    )
    assert sessions(*made) == [[1, 3], [2]]
    assert join(made)[0].confidence == Confidence.HIGH


def test_polling_before_an_upgrade_is_the_websocket_and_polling_alone_is_an_attempt():
    polled = tried(0, id=-5, transport=Transport.POLLING, sid=digest("s1"))
    upgraded = lost(0.1, 5, id=1, sid=digest("s1"))
    stays = tried(6, id=-9, transport=Transport.POLLING, sid=digest("s2"))
    assert sessions(polled, upgraded, stays) == [[1, -9]]


def test_five_hundred_with_names_are_not_mixed_up():
    chance = random.Random(7)
    made = []
    for number in range(500):
        begin = chance.uniform(0, 2)
        made.append(lost(begin, 5 + chance.uniform(0, 0.1), **user(f"user {number}")))
        at = 5.2
        for _ in range(chance.randint(0, 4)):
            at += chance.uniform(0.1, 2)
            made.append(refused(at, **user(f"user {number}")))
        made.append(tried(at + chance.uniform(0.1, 2), **user(f"user {number}")))
    found = join(made)
    assert len(found) == 500
    assert all(len({tuple(one.parts.values()) for one in session.attempts}) == 1 for session in found)
    assert all(session.confidence == Confidence.HIGH for session in found)


def test_the_order_in_which_attempts_are_given_does_not_matter():
    made = [lost(0, 5), refused(6), tried(7)]
    assert [one.id for one in only(*reversed(made)).attempts] == [one.id for one in made]


def test_nothing_gives_no_session():
    assert join([]) == []


def tokened(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"parts": {"query token": digest(f"token {first + one}")}} for one in range(count)]


def test_tokens_that_are_new_at_every_try_are_no_reason_to_take_a_client_for_another():
    """Three clients, each with a fresh token for each attempt: nobody is said to have given up."""
    made = [lost(at, 5 + at, **key) for at, key in zip((0, 0.1, 0.2), tokened(3), strict=True)]
    made += [refused(6 + at / 10, **key) for at, key in enumerate(tokened(9, 3))]
    made += [tried(8 + at / 10, **key) for at, key in enumerate(tokened(3, 12))]
    found = join(made)
    assert [len(one.connections) for one in found] == [2, 2, 2]
    assert all(one.confidence == Confidence.LOW for one in found)
    assert all("its query token changed with every attempt" in one.doubts for one in found)


def test_a_load_balancers_cookie_does_not_hide_who_a_client_is():
    def of(name: str, turn: int) -> dict[str, Any]:
        return {"parts": {"cookie sid": digest(name), "cookie AWSALB": digest(f"{name} {turn}")}}

    made = [lost(0, 5, id=1, **of("ann", 0)), lost(0.1, 5.1, id=2, **of("bob", 0))]
    made += [refused(6, id=3, **of("bob", 1)), refused(6.5, id=4, **of("ann", 1))]
    made += [tried(7, id=5, **of("ann", 2)), tried(7.5, id=6, **of("bob", 2))]
    assert sessions(*made) == [[1, 4, 5], [2, 3, 6]]
    assert all("cookie sid" in one.known_by for one in join(made))


def test_who_may_have_come_back_with_other_credentials_has_not_surely_given_up():
    first, second = lost(0, 5, **user("ann")), lost(1, 5, **user("bob"))
    assert [one.may_be_back for one in join((first, second, tried(7, **user("eve"))))] == [True, True, False]
    # Where somebody has come again under the same name, names are known to stay.
    again = [refused(6, **user("bob")), tried(7, **user("eve"))]
    assert [one.may_be_back for one in join((first, second, *again))] == [False, False, False]


@pytest.mark.parametrize("count", [2, 9, 40])
def test_sockets_that_are_tried_at_once_are_one_clients(count):
    """Two handlers that each try again: their tries begin before the first of them is open."""
    made = [lost(0, 5), *(tried(6 + at / 1e4) for at in range(count))]
    assert [len(one.attempts) for one in join(made)] == [count + 1]


def test_many_that_are_alike_are_joined_in_the_order_in_which_they_were_lost():
    """And those that left only where nobody else is missing."""
    made = [lost(at / 100, 10 + at / 100, id=at + 1) for at in range(300)]
    made.append(lost(4, 9, "client", client_code=1000, id=900))
    made += [tried(20 + at / 100, id=1000 + at) for at in range(301)]
    assert sessions(*made)[:300] == [[at + 1, 1000 + at] for at in range(300)]
    assert sessions(*made)[300] == [900, 1300]
