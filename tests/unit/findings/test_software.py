"""Which software answered: by fingerprints of its own alone."""

import pytest

from tests.unit.findings.facts_made import response
from wsinspect.findings.software import author_of, hop_author, hop_of, recognise
from wsinspect.handshake.heads import RawHead


def seen(body=b"", **fields):
    return recognise(RawHead.parse(response("403 Forbidden", **fields)), body)


@pytest.mark.parametrize(
    ("fields", "software"),
    [
        ({"Server": "nginx/1.22.1"}, ["nginx"]),
        ({"Server": "Cowboy"}, ["phoenix"]),
        # Heroku's router calls itself Cowboy, too.
        ({"Server": "Cowboy", "Via": "1.1 vegur"}, ["heroku"]),
        ({"Server": "openresty"}, ["nginx"]),
        ({"Server": "openresty", "X_Served_By": "npm.example"}, ["npm", "nginx"]),
        ({"Server": "nginx", "X_Served_By": "app-7"}, ["nginx"]),
        ({"Server": "my nginx clone"}, []),
        ({"Via": "1.1 googlebot"}, []),
        ({}, []),
    ],
)
def test_software_is_named_by_fields_of_its_own(fields, software):
    assert [mark.software for mark in seen(**fields)] == software


def test_who_wrote_the_page_comes_first():
    page = b"<html><center>nginx/1.22.1</center></html>"
    found = seen(page, CF_Ray="8f")
    assert [(mark.software, mark.is_author) for mark in found] == [("nginx", True), ("cloudflare", False)]
    assert author_of(found) is hop_author(found) is found[0]
    assert hop_of(found) == "nginx"
    assert author_of(seen(CF_Ray="8f")) is None


def test_a_server_is_not_a_hop():
    found = seen(Server="uvicorn")
    assert (hop_of(found), hop_author(found)) == (None, None)
    assert recognise(None) == ()


def test_a_page_is_looked_at_only_at_its_beginning():
    page = b"<center>nginx</center>"
    assert seen(b" " * 8000 + page)
    assert not seen(b" " * 8192 + page)
