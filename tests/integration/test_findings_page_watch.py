"""The watch over pages is bounded: pages, scripts and bytes of each, and the timers that wait for them."""

import asyncio
import sys
import tracemalloc

import brotli
import pytest
from mitmproxy.test import tflow

from wsinspect.findings.page_scan import MAX_BYTES
from wsinspect.proxy.pages import MAX_PAGES, MAX_SCRIPTS, PageWatch


class Sink:
    """Keeps the events; a watch over pages writes nothing else."""

    is_full = False

    def __init__(self):
        self.events = []
        self.told = asyncio.Event()

    def event(self, connection, event, time_ns):
        self.events.append(event)
        self.told.set()

    def data(self, connection, direction, chunk, time_ns, sent_after_ns=0):
        raise AssertionError("no data")

    def head(self, connection, part, raw, time_ns, sent_after_ns=0):
        raise AssertionError("no head")

    def body(self, connection, chunk, time_ns):
        raise AssertionError("no body")


def flow(path, kind, **headers):
    made = tflow.tflow(resp=True)
    made.request.host, made.request.port, made.request.path = "app.test", 80, path
    made.request.headers.clear()
    made.request.headers["host"] = "app.test"
    for name, value in headers.items():
        made.request.headers[name.replace("_", "-")] = value
    assert made.response
    made.response.headers["content-type"] = kind
    made.response.headers.pop("content-encoding", None)
    return made


def pending(loop):
    """Timers that the loop still holds and that are not cancelled."""
    return [handle for handle in loop._scheduled if not handle.cancelled()]


def test_of_a_thousand_pages_only_the_limit_is_watched():
    async def play():
        sink = Sink()
        watch = PageWatch(sink, lambda: 0, wait_seconds=60)
        for number in range(1000):
            watch.responseheaders(flow(f"/page{number}", "text/html", accept="text/html"))
        loop = asyncio.get_running_loop()
        assert len(watch._pages) == MAX_PAGES
        assert len(pending(loop)) <= MAX_PAGES
        watch.done()
        assert watch._pages == []
        assert pending(loop) == []
        assert sink.events == []

    asyncio.run(play())


@pytest.mark.slow
def test_a_page_with_endless_scripts_keeps_little():
    async def play():
        watch = PageWatch(Sink(), lambda: 0, wait_seconds=60)
        watch.responseheaders(flow("/", "text/html", accept="text/html"))
        tracemalloc.start()
        chunk = b"const nothing = 'x';" * 5000
        for number in range(MAX_SCRIPTS * 2):
            script = flow(f"/{number}.js", "text/javascript", referer="http://app.test/")
            watch.requestheaders(script)
            watch.responseheaders(script)
            if callable(script.response.stream):
                for _ in range(MAX_BYTES // len(chunk) * 2):
                    assert script.response.stream(chunk) == chunk
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        (page,) = watch._pages
        assert len(page.scanners) == MAX_SCRIPTS
        assert kept < 4 * 2**20
        watch.done()

    asyncio.run(play())


def test_a_page_is_reported_after_its_time_and_only_then():
    async def play():
        sink = Sink()
        watch = PageWatch(sink, lambda: 5, wait_seconds=0.05)
        page = flow("/", "text/html", accept="text/html")
        watch.responseheaders(page)
        page.response.stream(b"<script>new WebSocket('wss://app.test/')</script>")
        assert sink.events == []
        await asyncio.wait_for(sink.told.wait(), 20)
        (told,) = sink.events
        assert (told.waited_ms, told.attempts, told.ws_urls) == (50, 0, ["wss://app.test/"])
        assert watch._pages == []

    asyncio.run(play())


if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PAGE = b"<script>new WebSocket('wss://app.test/live')</script>" + b" " * 100_000
COMPRESS = {"br": lambda data: brotli.compress(data, quality=5), "zstd": zstd.compress}
COMPRESSED = {name: compress(PAGE) for name, compress in COMPRESS.items()}


def scanned(encoding, body, size):
    """What the watch finds in a page that comes in pieces of this size; every piece has to pass unchanged."""

    async def play():
        watch = PageWatch(Sink(), lambda: 0, wait_seconds=60)
        page = flow("/", "text/html", accept="text/html")
        page.response.headers["content-encoding"] = encoding
        watch.responseheaders(page)
        for start in range(0, len(body), size):
            assert page.response.stream(body[start : start + size]) == body[start : start + size]
        (scanner,) = watch._pages[0].scanners
        watch.done()
        return scanner.urls

    return asyncio.run(play())


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("encoding", sorted(COMPRESSED))
def test_a_compressed_page_is_looked_through(encoding, size):
    assert scanned(encoding, COMPRESSED[encoding], size) == ["wss://app.test/live"]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate"])
def test_a_page_that_is_not_what_its_encoding_says_passes_all_the_same(encoding):
    assert scanned(encoding, b"\xff\x00this is nothing of the kind" * 100, 64) == []


@pytest.mark.parametrize("encoding", sorted(COMPRESSED))
def test_a_page_that_inflates_without_end_takes_little_memory(encoding):
    bomb = COMPRESS[encoding](bytes(32 << 20))
    tracemalloc.start()
    try:
        assert scanned(encoding, bomb, 1 << 20) == []
        # brotli before 1.2 has no limit of its own: one of its blocks may be there as a whole, twice.
        is_old = encoding == "br" and not hasattr(brotli.Decompressor, "can_accept_more_data")
        assert tracemalloc.get_traced_memory()[1] < (56 if is_old else 16) << 20
    finally:
        tracemalloc.stop()
