"""nginx's `stream` blocks, which pass TCP on unread: the server that listens on a URL's port.

A PROXY header in front of the request is nginx's `proxy_protocol on`; what it is passed to has to expect it
(ngx_stream_proxy_module).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import RAISED_SECONDS, Defect, Met
from wsinspect.doctor.configuration.nginx import choice
from wsinspect.doctor.configuration.nginx.defects import removed, replaced, seconds_of
from wsinspect.doctor.configuration.nginx.tree import Tree
from wsinspect.doctor.target import Target

#: ngx_stream_proxy_module: proxy_timeout and proxy_connect_timeout.
_DEFAULT_SILENCE: Final = 600.0


def meets(tree: Tree, target: Target) -> Met | None:
    """What is wrong with the server of a `stream` that listens on this port; None where there is none."""
    blocks = [
        (stream, server) for stream in tree.root if stream.name == "stream" for server in stream.all("server")
    ]
    for stream, server in blocks:
        if any(choice.port_of(listen) == target.port for listen in server.all("listen")):
            chain = (server, stream)
            return Met(
                f"server of stream, port {target.port}",
                server.at,
                tuple(_defects(chain, tree, target.port)),
                tuple(_limits(chain, tree)),
                possible=tuple(_possible(chain)),
            )
    return None


def _effective(chain: Sequence[Directive], name: str) -> Directive | None:
    return next((found for block in chain if (found := block.get(name)) is not None), None)


def _defects(chain: Sequence[Directive], tree: Tree, port: int) -> Iterator[Defect]:
    for one in chain[0].all("listen"):
        if choice.port_of(one) == port and "proxy_protocol" in one.args[1:]:
            words = f"'{one.words}' hangs up on whoever sends no PROXY header in front of the request"
            advice = "take 'proxy_protocol' out, or make the load balancer in front send that header"
            yield Defect("silent", words, one.at, advice=advice)
    sends = _effective(chain, "proxy_protocol")
    if sends is not None and sends.args[:1] == ("on",):
        words = f"'{sends.words}' sends a PROXY header, which the server has to expect"
        yield Defect("preamble", words, sends.at, removed(tree.sources.texts, sends))


def _limits(chain: Sequence[Directive], tree: Tree) -> Iterator[Defect]:
    """How long both sides may be silent."""
    passed = _effective(chain, "proxy_pass")
    silence = _effective(chain, "proxy_timeout")
    if passed is None:
        return
    seconds = _DEFAULT_SILENCE if silence is None else seconds_of(silence.args[0] if silence.args else "")
    words = f"'{silence.words}'" if silence else "no 'proxy_timeout': its default is 10 min"
    longer = f"proxy_timeout {RAISED_SECONDS}s;"
    edits = () if silence is None else replaced(tree.sources.texts, silence, longer)
    if seconds is not None:
        at = (silence or passed).at
        yield Defect("idle", f"{words}: silence of both sides for that long ends it", at, edits, seconds)


def _possible(chain: Sequence[Directive]) -> Iterator[Defect]:
    """Where it goes: nginx hangs up without a word where that takes no connection."""
    passed = _effective(chain, "proxy_pass")
    if passed is not None:
        words = f"'{passed.words}' is where it goes: nginx hangs up where that takes no connection"
        yield Defect("silent", words, passed.at)
