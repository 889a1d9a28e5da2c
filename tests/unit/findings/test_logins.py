"""Which cookies are credentials: consent, or a hop's choice of a server, says nothing of the user."""

from typing import Any

import pytest

from tests.support.matrix_odds import token
from tests.unit.findings.facts_made import SECOND, START, refused, request
from wsinspect.findings.logins import credentials, is_no_login
from wsinspect.findings.registry import diagnose_connection

NO_LOGINS = (
    *("_ga", "_ga_1AB2C3", "_gid", "_fbp", "__utma", "_hjSessionUser_1", "_pk_id.1.2", "ajs_anonymous_id"),
    *(
        "OptanonConsent",
        "CookieConsent",
        "cookie_consent",
        "euconsent-v2",
        "csrftoken",
        "XSRF-TOKEN",
        "_csrf",
    ),
    *("__Host-csrf", "__cf_bm", "cf_clearance", "AWSALB", "AWSALBCORS", "SERVERID", "BIGipServerpool", "io"),
    *("lang", "locale", "theme", "NEXT_LOCALE", "timezone"),
)
LOGINS = (
    *("sid", "connect.sid", "sessionid", "JSESSIONID", "PHPSESSID", "_myapp_session", "laravel_session"),
    *(
        "access_token",
        "auth",
        "jwt",
        "__Host-session",
        "remember_user_token",
        ".AspNetCore.Identity.Application",
    ),
)
UNKNOWN = ("foo", "x1", "id", "cart", "k", "ut")


def sent(names: Any, status: str = "403 Forbidden") -> Any:
    cookies = "; ".join(f"{name}=v" for name in names)
    return refused(status, head=request(Cookie=cookies))


def test_cookies_are_told_apart_by_their_names():
    assert [name for name in NO_LOGINS if not is_no_login(name)] == []
    assert [name for name in (*LOGINS, *UNKNOWN) if is_no_login(name)] == []
    assert credentials(sent(NO_LOGINS)) == ()
    assert credentials(sent(["_ga", "foo"])) == ("the cookie foo",)
    assert credentials(sent(["foo", "_ga", "sessionid"])) == ("the cookie sessionid",)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_none_were_sent_where_no_cookie_is_a_login(status):
    (plain,) = diagnose_connection(sent(["_ga", "csrftoken"], status))
    text = " ".join((plain.title, *plain.evidence))
    assert "no credentials" in text
    assert "say nothing of who the user is: _ga, csrftoken" in text
    assert not any("rejects the credentials" in one.cause for one in plain.causes)
    for names in (["_ga", "sid"], ["_ga", "foo"]):
        (found,) = diagnose_connection(sent(names, status))
        assert any("rejects the credentials" in one.cause for one in found.causes)
        assert "no credentials" not in " ".join((found.title, *found.evidence))


def test_an_expired_token_in_a_cookie_is_named_but_for_one_beside_a_fresh_token():
    def ids(cookie, path="/ws"):
        facts = refused("401 Unauthorized", path=path, head=request(Cookie=cookie))
        return [one.id for one in diagnose_connection(facts)]

    stale, fresh = (token(exp=START // SECOND + more) for more in (-60, 60))
    assert ids(f"a=1; session={stale}") == ["WS-HS-040"]
    assert ids(f"session={fresh}") == ["WS-HS-009"]
    assert ids(f"old={stale}", f"/ws?token={fresh}") == ["WS-HS-009"]
