"""Snippets for opening handshakes that fail, TLS and HTTP/2, by topic and software."""

from __future__ import annotations

from typing import Final

_NGINX_UPGRADE: Final = """\
http { map $http_upgrade $connection_upgrade { default upgrade; '' close; } }
location /ws {
    proxy_pass http://app;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    # one proxy_set_header here cancels all those of the server block: repeat Host and the others
}"""

FIXES: Final[dict[str, dict[str, str]]] = {
    "upgrade": {
        "nginx": _NGINX_UPGRADE,
        "npm": "Switch on 'Websockets Support' of the proxy host; it covers / alone. In each custom location"
        " add:\n"
        "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\n"
        "proxy_set_header Connection $http_connection;\nthen look at /data/nginx/proxy_host/*.conf",
        "apache": 'ProxyPass "/ws" "http://127.0.0.1:3000/ws" upgrade=websocket   # 2.4.47 and newer\n'
        '# older: a2enmod proxy_wstunnel, and before the http rule: ProxyPass "/ws" "ws://127.0.0.1:3000/ws"',
        "caddy": "reverse_proxy app:3000   # forwards upgrades by itself: look for a header_up that takes"
        " them away,"
        " and for transport http { versions h2c }",
        "haproxy": "HAProxy forwards upgrades by itself: look for http-request del-header upgrade, for option"
        " httpclose, and write 'ws h1' or 'alpn http/1.1' at the server line if it speaks h2 to it",
        "traefik": "Traefik forwards upgrades by itself: look for a headers middleware that sets Connection"
        " or"
        " Upgrade, and route the path to the service of the application",
        "envoy": "http_connection_manager:\n  upgrade_configs: [{ upgrade_type: websocket }]",
        "iis": "Install-WindowsFeature Web-WebSockets, and enable it: <system.webServer><webSocket"
        ' enabled="true"/>',
        "cloudflare": "Network > WebSockets: on; and no cache rule or Worker on this path that rebuilds the"
        " request",
        "aws": "CloudFront: an origin request policy that forwards Sec-WebSocket-Key, -Version, -Protocol,"
        " -Accept and"
        " -Extensions (AllViewer does); ALB: forward the path to an HTTP/1.1 target group",
        "gcp": "Use a backend service with protocol HTTP (1.1): external load balancers forward upgrades to"
        " it",
        "azure": "Front Door: disable caching on the route; Application Gateway forwards upgrades with"
        " HTTP/1.1 backends",
        "k8s-ingress": "ingress-nginx forwards upgrades by itself; remove a configuration-snippet with"
        " proxy_set_header"
        " Connection, and do not point the path at an h2 backend",
        "vite": "server: { proxy: { '/ws': { target: 'http://localhost:3000', ws: true } } }",
        "webpack": "devServer: { proxy: [{ context: ['/ws'], target: 'http://localhost:3000', ws: true }] }",
        "next": "rewrites() cannot carry an upgrade with every host: put the socket server behind its own"
        " location",
        "general": "Every proxy on the way must forward the request as HTTP/1.1 with 'Connection: Upgrade'"
        " and"
        " 'Upgrade: websocket': both are hop-by-hop, so each hop has to set them again.",
    },
    "http10": {
        "nginx": "proxy_http_version 1.1;   # the default was 1.0 before nginx 1.29.7",
        "npm": "proxy_http_version 1.1;   # in the custom location or under Advanced",
        "general": "Make the proxy speak HTTP/1.1 to the application: HTTP/1.0 has no upgrade (RFC 6455,"
        " 4.1).",
    },
    "route": {
        "nginx": "location /ws { proxy_pass http://app; ... }   # before the catch-all; a slash after the"
        " host in"
        " proxy_pass rewrites the path",
        "caddy": "handle /ws* { reverse_proxy app:3000 }   # before the file server",
        "apache": 'ProxyPass "/ws" "http://127.0.0.1:3000/ws" upgrade=websocket   # before the rule for /',
        "haproxy": "use_backend app if { path_beg /ws }",
        "uvicorn": "pip install 'uvicorn[standard]'   # without a WebSocket library each attempt is a 404",
        "rails": "mount ActionCable.server => '/cable'; config.action_cable.allowed_request_origins ="
        " ['https://your.site']",
        "channels": "ProtocolTypeRouter({'websocket': URLRouter([path('ws/', Consumer.as_asgi())])})",
        "phoenix": 'socket "/socket", MyAppWeb.UserSocket, websocket: true   # the client connects to'
        " /socket/websocket",
        "node-ws": "new WebSocketServer({ server, path: '/ws' })   # the path must be the one of the URL",
        "general": "Compare the path of the URL with the route of the server, with and without the trailing"
        " slash and"
        " prefix; a rule for single-page applications must not catch the socket's path.",
    },
    "redirect-scheme": {
        "general": "Use wss:// in the client: const url = `${location.protocol === 'https:' ? 'wss' :"
        " 'ws'}://"
        "${location.host}/path`. Browsers do not follow redirects of a WebSocket.",
    },
    "redirect-slash": {
        "general": "Use the final URL, with its slash, in the client. Browsers do not follow redirects of a"
        " WebSocket.",
    },
    "redirect-login": {
        "general": "Exempt the socket's path from the login redirect and answer 401 there; send the"
        " session's cookie"
        " (same site, SameSite=None; Secure for another one) or a short-lived ticket in the query.",
    },
    "redirect": {
        "general": "Use the final URL in the client. Browsers do not follow redirects of a WebSocket."
    },
    "auth": {
        "channels": "AuthMiddlewareStack(URLRouter(...)) and the session's cookie on the same site",
        "general": "new WebSocket() cannot set Authorization: use a cookie, a short-lived ticket in the"
        " query, or a"
        " token in Sec-WebSocket-Protocol that the server echoes.",
    },
    "origin": {
        "rails": "config.action_cable.allowed_request_origins = ['https://your.site']",
        "phoenix": 'socket "/socket", UserSocket, websocket: [check_origin: ["https://your.site"]]',
        "channels": "AllowedHostsOriginValidator, and the site in ALLOWED_HOSTS",
        "socketio": "new Server(server, { cors: { origin: 'https://your.site' } })",
        "aspnet": 'app.UseCors(p => p.WithOrigins("https://your.site").AllowCredentials()...)',
        "nginx": "proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto $scheme;",
        "vite": "server: { allowedHosts: ['your.site'] }",
        "general": "Put the page's origin on the server's list of allowed origins, and let every proxy"
        " forward Host and"
        " X-Forwarded-Proto, so that a same-origin check compares with what the browser sees.",
    },
    "header-size": {
        "nginx": "large_client_header_buffers 4 32k; proxy_buffer_size 16k; proxy_buffers 4 16k;",
        "haproxy": "global\n    tune.bufsize 32768",
        "apache": "LimitRequestFieldSize 32768",
        "node-ws": "node --max-http-header-size=32768",
        "general": "Make the request smaller (delete stale cookies, no token in the subprotocol) or raise"
        " the limit on"
        " header size of the hop that answered.",
    },
    "rate": {
        "general": "Reconnect with exponential backoff and jitter, and raise the rate limit for the socket's"
        " path."
    },
    "version": {"general": "The client must send 'Sec-WebSocket-Version: 13' (RFC 6455, 4.1)."},
    "server-error": {
        "general": "Read the application's log at this moment: its connect handler raised.",
    },
    "bad-gateway": {
        "nginx": "proxy_pass http://127.0.0.1:3000;   # is something listening there? error.log says"
        " 'connect() failed'",
        "haproxy": "server app 127.0.0.1:3000 check   # and 'ws h1' if the backend speaks h2 without RFC"
        " 8441",
        "caddy": "reverse_proxy app:3000   # is something listening there, and is it http, not https?",
        "k8s-ingress": "kubectl get endpoints: has the service a ready pod, and does targetPort match?",
        "general": "Start the application, and check the address and port that the proxy forwards to.",
    },
    "timeout": {
        "nginx": "proxy_connect_timeout 10s; proxy_read_timeout 60s;   # the handshake's answer has to come"
        " within",
        "general": "The application answered the handshake later than the proxy waits: answer first, do slow"
        " work after.",
    },
    "accept": {
        "general": "Compute Sec-WebSocket-Accept from the key of this very request: base64(sha1(key +"
        " GUID)), RFC 6455,"
        " 4.2.2. A box that ends the WebSocket and opens another one must do both handshakes itself; a cache"
        " must"
        " never answer.",
    },
    "subprotocol": {
        "socketio": "Leave the protocols argument out",
        "node-ws": "new WebSocketServer({ handleProtocols: (offered) => offered.has('v1') ? 'v1' : false })",
        "nginx": "proxy_set_header Sec-WebSocket-Protocol $http_sec_websocket_protocol;   # only if"
        " something removes it",
        "general": "The server must answer with exactly one of the offered Sec-WebSocket-Protocol values; a"
        " token sent as"
        " subprotocol has to be echoed too.",
    },
    "extension": {
        "general": "Answer only extensions and parameters that were offered (RFC 6455, 9.1); what strips"
        " Sec-WebSocket-Extensions must strip it in both directions, or permessage-deflate must be off.",
        "iis": "ARR: clear HTTP_SEC_WEBSOCKET_EXTENSIONS in a rewrite rule, or switch permessage-deflate off",
    },
    "garbage": {
        "next": "One upgrade handler for one path: pass '/_next/webpack-hmr' to app.getUpgradeHandler(), the"
        " rest to yours",
        "node-ws": "new WebSocketServer({ noServer: true }) and one server.on('upgrade') that dispatches by"
        " path",
        "general": "Only one handler may answer an upgrade: two handlers on one server write over each"
        " other.",
    },
    "connect": {
        "general": "Start the server, or correct the host and port; is it bound to another address (::1 and"
        " 127.0.0.1"
        " differ, 0.0.0.0 inside containers)?",
    },
    "dns": {"general": "Correct the host name, or make it known to this machine's resolver."},
    "empty-answer": {
        "general": "Read the server's log: it closed the connection without an answer. Is this an HTTP"
        " server, and is"
        " the scheme right?",
    },
    "gave-up": {
        "general": "The server did not answer while the client waited: is its upgrade handler reached, and"
        " does it wait"
        " for something?",
    },
    "tls-trust-us": {
        "general": "Trust wsinspect's CA in this client (`wsinspect ca` says how; Firefox has a store of its"
        " own), or use"
        " `wsinspect browser`, which does.",
    },
    "certificate": {
        "caddy": "Caddy renews by itself: see its log for the ACME error",
        "nginx": "ssl_certificate /etc/letsencrypt/live/your.site/fullchain.pem;   # the chain, not"
        " cert.pem; then reload",
        "general": "Install a certificate that is valid now, for this very name, with its intermediate"
        " certificates; for"
        " development trust your own CA in the browser (`mkcert`), or pass --insecure here.",
    },
    "tls-version": {
        "nginx": "ssl_protocols TLSv1.2 TLSv1.3;",
        "general": "Both sides need a TLS version (1.2 or 1.3) and a cipher in common.",
    },
    "client-certificate": {
        "nginx": "ssl_verify_client optional;   # or off for the socket's location",
        "general": "The server asks for a client certificate: give it one (--set client_certs=FILE here), or"
        " do not ask on"
        " this path.",
    },
    "scheme": {
        "general": "ws:// goes to the plain port (80), wss:// to the TLS port (443): correct the scheme or"
        " the port, here"
        " or in the proxy's target.",
    },
    "sec-headers": {
        "aws": "Origin request policy AllViewer, or one with Sec-WebSocket-Key, -Version, -Protocol,"
        " -Extensions",
        "azure": "Disable caching on the route",
        "general": "Forward every Sec-WebSocket-* header unchanged, in both directions.",
    },
    "h2": {
        "haproxy": "server app 127.0.0.1:3000 alpn http/1.1   # or: ws h1",
        "nginx": "nginx's http2 listener has no RFC 8441: browsers open a separate HTTP/1.1 connection,"
        " which works",
        "general": "Announce SETTINGS_ENABLE_CONNECT_PROTOCOL only where extended CONNECT works end to end"
        " (Go proxies:"
        " GODEBUG=http2xconnect=0), else let that host speak http/1.1.",
    },
    "early-hints": {"general": "Send no 103 Early Hints to a WebSocket handshake: Chromium refuses it."},
    "forward-proxy": {
        "general": "Use wss:// through this proxy, allow CONNECT to the port, or give it credentials.",
    },
}
