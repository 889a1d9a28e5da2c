"""Who lost an upgrade or a page: what hops show of themselves, and what strangers' findings hold."""

from tests.unit.findings.facts_made import capture, refused
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_capture, diagnose_connection


def first(facts):
    return diagnose_connection(facts)[0]


def test_who_carries_upgrades_by_default_is_not_blamed_for_sure():
    said = b"No WebSocket UPGRADE hdr: None"
    caddy = first(refused("400 Bad Request", said, Server="Caddy"))
    assert (caddy.id, caddy.hop, caddy.confidence) == ("WS-HS-002", "Caddy or a hop behind it", "medium")
    assert caddy.causes[0].cause.startswith("a proxy behind Caddy removes Upgrade")
    nginx = first(refused("400 Bad Request", said, Server="nginx/1.22.1"))
    assert (nginx.id, nginx.hop, nginx.confidence) == ("WS-HS-002", "nginx", "high")


def test_a_404_of_express_behind_a_hop_stays_the_servers():
    """A wrong path, a process without `ws` and a lost upgrade have the same answer."""
    page = b"<pre>Cannot GET /chat</pre>"
    behind = first(refused("404 Not Found", page, Server="nginx/1.22.1"))
    assert (behind.fault_of, behind.confidence, behind.title) == (
        "server",
        "medium",
        "404: no WebSocket at this path",
    )
    causes = [one.cause for one in behind.causes]
    assert causes[0].startswith("no WebSocket server is attached")
    assert [one for one in causes if one.startswith("nginx removes the Upgrade headers")] == [causes[2]]
    # Nobody is seen between: then it is that process, or its configuration.
    alone = first(refused("404 Not Found", page, X_Powered_By="Express"))
    assert (alone.fault_of, alone.title) == ("server", "404: no WebSocket at this path")
    # nginx's own page, and another framework's words, are not Express's.
    other = first(refused("404 Not Found", b"no such room", Server="nginx/1.22.1"))
    assert (other.fault_of, other.title) == ("server", "404: no WebSocket at this path")


def test_a_500_that_a_proxy_wrote_itself_is_titled_as_its_own():
    page = (
        b"<html><center><h1>500 Internal Server Error</h1></center><hr><center>nginx/1.22.1</center></html>"
    )
    own = first(refused("500 Internal Server Error", page, Server="nginx/1.22.1"))
    assert (own.id, own.fault_of) == ("WS-HS-019", "hop")
    assert own.title == "500: nginx itself failed while it handled the handshake"
    passed = first(
        refused("500 Internal Server Error", b"Traceback (most recent call", Server="nginx/1.22.1")
    )
    assert (passed.fault_of, passed.title[:10]) == ("server", "The server")


def test_a_server_s_unread_connections_are_quoted_by_each_beginning():
    def event(first, server="db:5432"):
        return ("passed_unread", {"server": server, "reason": "it is not HTTP", "first": first})

    two = capture(events=(event("SSH-2.0"), event("AMQP"), event("AMQP"), event("\x05", "other:1080")))
    (found,) = [one for one in diagnose_capture(two) if one.id == "WS-TOOL-006"]
    assert found.evidence == (
        "db:5432, 3 times: it is not HTTP; it began with 'AMQP' or 'SSH-2.0'",
        "other:1080, once: it is not HTTP; it began with '\\x05'",
    )
    many = capture(events=tuple(event(f"{number} begins") for number in range(9)))
    (found,) = [one for one in diagnose_capture(many) if one.id == "WS-TOOL-006"]
    assert found.evidence[0].endswith("or '2 begins', or 6 other beginnings")


def test_a_finding_of_a_stranger_s_capture_is_read_whatever_stands_in_it():
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    odd = {"id": 7, "severity": "fatal", "fault_of": deep, "title": deep, "evidence": 3, "hop": deep}
    odd |= {"fixes": [1, "x"], "causes": [None], "connection": "1", "frame": True, "js": 10**400}
    found = Finding.from_json(odd)
    assert (found.id, found.severity, found.fault_of, found.title) == ("7", "note", "network", "")
    assert (found.evidence, found.fixes, found.causes) == ((), (), ())
    assert (found.connection, found.frame) == (None, None)
    assert Finding.from_json(found.as_json()) == found
