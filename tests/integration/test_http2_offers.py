"""Offers of HTTP/3 in Alt-Svc: passed on and reported, or removed and reported."""

import asyncio
import json

import pytest

from tests.support.certs import make_certificates
from tests.support.h2_lab import findings, h2_lab, rows

GET = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    ("options", "kept", "found"),
    [((), [("alt-svc", 'h3=":443"; ma=60')], ["WS-H2-006"]), (("--strip-alt-svc",), [], [])],
)
def test_an_offer_of_http3(tmp_path, certificates, options, kept, found):
    async def play():
        async with h2_lab(tmp_path, certificates, *options) as place:
            client, server = await place.connect()
            mine = client.request(GET, end=True)
            server.respond(await server.requested("/"), ("alt-svc", 'h3=":443"; ma=60'), ("x", "1"), end=True)
            assert await client.answered(mine) == "200"
        return client.streams[mine].fields, place.run

    fields, run = asyncio.run(play())
    assert fields == [(":status", "200"), *kept, ("x", "1")]
    assert findings(run) == found
    ((detail,),) = rows(run, "SELECT detail FROM event WHERE kind = 'alt_svc'")
    assert json.loads(detail)["stripped"] is (not kept)
