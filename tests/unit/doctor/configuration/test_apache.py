"""Apache httpd's configuration: which virtual host a URL meets, and where its request goes."""

from __future__ import annotations

import pytest

from tests.support.configurations import git_applies, judgement, kinds, mend, met_in, read_in
from wsinspect.doctor.configuration.apache.tree import words_of
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.reading import read_configurations
from wsinspect.doctor.target import parse_target
from wsinspect.errors import UsageError

MAIN = """ServerRoot "/etc/apache2"
Timeout 300
<IfModule mod_proxy.c>
    ProxyRequests Off
</IfModule>
IncludeOptional sites-enabled/*.conf
"""
SITES = """<VirtualHost *:80>
    ServerName app.example
    Redirect permanent / https://app.example/
</VirtualHost>
<VirtualHost *:443>
    ServerName app.example
    ServerAlias *.app.example
    SSLEngine on
    ProxyPreserveHost On
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} =websocket [NC]
    RewriteCond %{REQUEST_URI} ^/tunnel [OR]
    RewriteCond %{QUERY_STRING} tunnel=1
    RewriteRule ^/(.*)$ ws://127.0.0.1:3000/$1 [P,L]
    RewriteCond %{HTTP_UPGRADE} websocket
    RewriteRule ^/mistaken ws://127.0.0.1:3000/mistaken [P]
    RewriteRule ^/plain/(.*)$ http://127.0.0.1:3000/plain/$1 [P,L]
    RewriteRule ^/old/(.*)$ /new/$1 [PT]
    RewriteRule ^/away https://other.example/ [R=308,L]
    RewriteRule ^/forbidden - [F]
    RewriteCond %{REMOTE_ADDR} ^10\\.
    RewriteRule ^/inside - [F]
    ProxyPass /never !
    ProxyPass /ws http://127.0.0.1:3000/ws
    ProxyPass /good http://127.0.0.1:3000/good upgrade=websocket \\
        timeout=20
    ProxyPass /tunnel2 ws://127.0.0.1:3000/tunnel2
    ProxyPass /new http://127.0.0.1:3000/new upgrade=ANY
    ProxyPass /h2 h2://127.0.0.1:3000/h2
    ProxyPass /moved http://127.0.0.1:3000/elsewhere upgrade=websocket
    ProxyPassMatch ^/match/(\\w+)$ http://127.0.0.1:3000/match/$1
    ProxyPass /many balancer://many/many
    <Proxy balancer://many>
        BalancerMember http://127.0.0.1:3001
        BalancerMember http://127.0.0.1:3002
    </Proxy>
    <Location /inner>
        ProxyPass http://127.0.0.1:3000/inner upgrade=websocket
        RequestHeader unset Origin
        RequestHeader set X-Forwarded-Proto https
    </Location>
    <Location "/closed">
        Require all denied
    </Location>
    <LocationMatch "^/private/">
        AuthType Basic
        Require valid-user
    </LocationMatch>
</VirtualHost>
"""
FILES = {"apache2.conf": MAIN, "sites-enabled/app.conf": SITES}


@pytest.mark.parametrize(
    ("url", "place", "expected"),
    [
        ("ws://app.example/ws", "<VirtualHost *:80>", ["answer"]),
        ("wss://app.example/ws", "ProxyPass /ws", ["upgrade"]),
        ("wss://app.example/ws/x", "ProxyPass /ws", ["upgrade"]),
        ("wss://app.example/wsx", "<VirtualHost *:443>", ["route"]),
        ("wss://a.app.example/good", "ProxyPass /good", []),
        ("wss://app.example/tunnel", "RewriteRule ^/(.*)$", []),
        ("wss://app.example/ws?tunnel=1", "RewriteRule ^/(.*)$", []),
        ("wss://app.example/mistaken", "<VirtualHost *:443>", ["route"]),
        ("wss://app.example/plain/x", "RewriteRule ^/plain/(.*)$", ["upgrade"]),
        ("wss://app.example/tunnel2", "RewriteRule ^/(.*)$", []),
        ("wss://app.example/old/x", "ProxyPass /new", ["path"]),
        ("wss://app.example/away", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example/forbidden", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example/inside", "<VirtualHost *:443>", ["route"]),
        ("wss://app.example/never", "<VirtualHost *:443>", ["route"]),
        ("wss://app.example/h2", "ProxyPass /h2", ["h2"]),
        ("wss://app.example/moved", "ProxyPass /moved", ["path"]),
        ("wss://app.example/match/x", "ProxyPassMatch ^/match/(\\w+)$", ["upgrade"]),
        ("wss://app.example/many", "ProxyPass /many", ["upgrade"]),
        ("wss://app.example/inner/x", "<Location /inner>", ["credentials"]),
        ("wss://app.example/closed", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example/private/x", "<VirtualHost *:443>", ["answer"]),
        ("wss://app.example:8443/good", "ProxyPass /good", []),
    ],
)
def test_what_a_url_meets(tmp_path, url, place, expected) -> None:
    found = met_in(tmp_path, FILES, url)
    assert (found.words, kinds(found)) == (place, expected)


def test_what_is_not_known_is_said(tmp_path) -> None:
    found = met_in(tmp_path, FILES, "wss://app.example/inside")
    assert any("REMOTE_ADDR" in one for one in found.unsure)
    assert any("port 8443" in one for one in met_in(tmp_path, FILES, "wss://app.example:8443/").unsure)
    lost = read_in(
        tmp_path / "lost", {"httpd.conf": "Include gone.conf\n<VirtualHost *:80>\n</VirtualHost>\n"}
    )
    assert any("gone.conf: it is not there" in one for one in lost.problems)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/ws", "upgrade"),
        ("/plain/x", "upgrade"),
        ("/h2", "h2"),
        ("/moved", "path"),
        ("/many", "upgrade"),
        ("/inner", "credentials"),
    ],
)
def test_the_diff_mends_it_and_applies(tmp_path, path, kind) -> None:
    read = read_in(tmp_path, FILES)
    url = f"wss://app.example{path}"
    found = read.meets(parse_target(url)[0])
    assert found is not None
    assert kind not in kinds(mend(read, found.defects[0], url))
    git_applies(read, found.defects[0])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("ProxyPass / http://a/", ["upgrade", "host"]),
        ("ProxyPreserveHost Off\nProxyPass / http://a/ upgrade=websocket", ["host"]),
        ("ProxyPreserveHost On\nProxyPass / http://a/ upgrade=websocket", []),
        (
            "ProxyPreserveHost On\nProxyPass / http://a/ upgrade=websocket\nSetEnv force-proxy-request-1.0 1",
            ["upgrade"],
        ),
        (
            "ProxyPreserveHost On\nProxyPass / http://a/ upgrade=websocket\nRequestHeader unset Upgrade",
            ["upgrade"],
        ),
        ("ProxyPreserveHost On\nProxyPass / ws://a/", []),
        ("LoadModule proxy_module x.so\nProxyPreserveHost On\nProxyPass / ws://a/", ["answer"]),
        (
            "LoadModule x_module x.so\n<IfModule mod_proxy.c>\nProxyPass / http://a/\n</IfModule>\nListen 80",
            ["route"],
        ),
        (
            "<IfModule !mod_x.c>\nProxyPass / http://b/\n</IfModule>\nProxyPreserveHost On\nProxyPass / ws://a/",
            [],
        ),
    ],
)
def test_the_main_server(tmp_path, config, expected) -> None:
    found = met_in(tmp_path, {"httpd.conf": config + "\n"}, "ws://a.example/")
    assert kinds(found) == expected
    for one in found.defects:
        if one.edits:
            read = read_in(tmp_path, {"httpd.conf": config + "\n"})
            assert one.kind not in kinds(mend(read, one, "ws://a.example/"))


def test_before_its_parameter_there_was_another_scheme(tmp_path) -> None:
    found = met_in(tmp_path, FILES, "wss://app.example/ws", version=(2, 4, 38))
    assert "ws://127.0.0.1:3000/ws" in found.defects[0].edits[0].text


@pytest.mark.parametrize(
    ("path", "seen", "explains"),
    [
        ("/tunnel", "300.2 s", "'Timeout 300'"),
        ("/good", "300.2 s", "'timeout=20'"),  # the longer of both sides
        ("/good", "20.1 s", None),
        ("/good", "60.1 s", None),
    ],
)
def test_the_timeout_that_ended_it(tmp_path, path, seen, explains) -> None:
    read = read_in(tmp_path, FILES)
    target = parse_target(f"wss://app.example{path}")[0]
    better, explained = with_configuration(judgement("WS-DROP-002", f"silence {seen}"), (read,), target)
    if explains is None:
        assert explained is None
        return
    assert explained is not None
    assert explains in better.headline
    git_applies(read, explained.defect)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ("a", "b")),
        ('a "b c" d', ("a", "b c", "d")),
        ("a 'b c'", ("a", "b c")),
        ('a "b \\" c"', ("a", 'b " c')),
        ('a ""', ("a", "")),
        ("", ()),
    ],
)
def test_words(text, expected) -> None:
    assert words_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<VirtualHost *:80>\n" * 2000,
        "</VirtualHost>\n" * 50 + "ProxyPass\nProxyPass /\nRewriteRule\nListen\n",
        (
            "<VirtualHost>\nServerName\nProxyPass /\n<Location>\n<LocationMatch "
            "(a+)+$>\nRequire\n</LocationMatch>\n</Location>\n"
        ),
        (
            "RewriteEngine on\nRewriteCond\nRewriteCond %{HTTP:Upgrade}\nRewriteRule "
            "((a*)*)*$ $9%9 [P,,R=x\nListen 80\n"
        ),
        "Include httpd.conf\nDefine A ${A}${A}\nProxyPass / ${A}\n",
        "ProxyPass / \\\n" * 5000,
        "RewriteEngine on\nRewriteRule ^/(.*)$ /$1$1 [N]\nProxyPass / !\n",
    ],
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    (tmp_path / "httpd.conf").write_text(text)
    try:
        (read,) = read_configurations([str(tmp_path)])
    except UsageError:
        return
    found = read.meets(parse_target("ws://h/" + "a" * 40)[0])
    assert found is None or found.words
