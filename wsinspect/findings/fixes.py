"""What to write where: snippets by topic and software.

Every topic has a fix for `general`; those for software that was recognised come first. The snippets are
small on purpose: the line that is missing, in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wsinspect.findings.model import Fix

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
    "hmr": {
        "vite": "server: { hmr: { protocol: 'wss', clientPort: 443 } }   # and the proxy must carry the"
        " upgrade",
        "webpack": "devServer: { client: { webSocketURL: 'auto://0.0.0.0:0/ws' } }",
        "next": "location /_next/webpack-hmr { proxy_pass http://next; proxy_http_version 1.1;"
        ' proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }',
        "general": "Let the client of the dev server connect to the host and port of the page, and let the"
        " proxy carry the"
        " upgrade on that path.",
    },
    "dev-host": {
        "vite": "server: { allowedHosts: ['your.site'] }",
        "webpack": "devServer: { allowedHosts: ['your.site'] }",
        "next": "allowedDevOrigins: ['your.site']",
        "general": "Put the host name of the page on the dev server's list of allowed hosts.",
    },
    "sticky": {
        "nginx": "upstream app { ip_hash; server a:3000; server b:3000; }",
        "haproxy": "cookie io prefix indirect nocache   # or balance source",
        "k8s-ingress": 'nginx.ingress.kubernetes.io/affinity: "cookie"',
        "aws": "Target group: stickiness on",
        "general": "Sessions must reach the server that made them: sticky sessions, or transports:"
        " ['websocket'] alone.",
    },
    "eio-version": {
        "general": "Client and server of Socket.IO need the same major version (EIO=4 is 3.x and 4.x, EIO=3"
        " is 1.x and"
        " 2.x); or allowEIO3: true on the server.",
    },
    "signalr": {
        "aspnet": "options.SkipNegotiation = true with Transports = HttpTransportType.WebSockets, or sticky"
        " sessions",
        "general": "negotiate and the WebSocket must reach the same server: stickiness, or skip the"
        " negotiation.",
    },
    "graphql": {
        "general": "Client and server must speak the same subprotocol: graphql-transport-ws (library"
        " graphql-ws) or the"
        " older graphql-ws (subscriptions-transport-ws); connection_init comes first.",
    },
    "app-auth": {
        "general": "Send the credentials with the handshake (cookie, ticket in the query, subprotocol), or"
        " in the first"
        " message at once and before the server's time limit; refresh an expired token before reconnecting.",
    },
    "app": {
        "general": "The reason in the evidence is the application's own: look for it in the server's code"
        " and log."
    },
    "idle": {
        "nginx": "proxy_read_timeout 1h; proxy_send_timeout 1h;   # counts bytes from the application: its"
        " pings reset it",
        "npm": "proxy_read_timeout 1h; proxy_send_timeout 1h;   # under Advanced",
        "apache": "ProxyTimeout 3600",
        "haproxy": "timeout tunnel 1h",
        "caddy": "Caddy has no idle timeout of its own for upgraded connections: look at read_timeout of the"
        " transport"
        " and at the hop before it",
        "traefik": "entryPoints.web.transport.respondingTimeouts.readTimeout: 0",
        "envoy": "stream_idle_timeout: 0s   # and timeout: 0s on the route",
        "iis": "ARR: Server Proxy Settings, time-out (seconds)",
        "cloudflare": "Cannot be raised on most plans (100 s): send a ping from the server every 30 s",
        "aws": "ALB: idle_timeout.timeout_seconds = 3600; API Gateway cannot (10 min): ping every 30 s",
        "gcp": "Backend service: timeout 86400 s (it is a lifetime, pings do not help)",
        "azure": "Load Balancer: idle timeout 30 min and TCP reset on; Front Door cannot: ping every 30 s",
        "heroku": "Send something every 30 s in either direction",
        "k8s-ingress": 'nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"\n'
        'nginx.ingress.kubernetes.io/proxy-send-timeout: "3600"',
        "phoenix": 'socket "/socket", UserSocket, websocket: [timeout: 120_000]',
        "general": "Raise the idle timeout of the hop that closed, and send a ping from the server at less"
        " than half of"
        " the smallest limit on the way.",
    },
    "lifetime": {
        "gcp": "gcloud compute backend-services update NAME --timeout=86400",
        "aws": "API Gateway closes after 2 h: reconnect before, at a moment of your own",
        "azure": "Front Door closes after 4 h: reconnect before, at a moment of your own",
        "general": "Raise the maximum duration, or reconnect in the client at a planned moment before it.",
    },
    "reload": {
        "nginx": "worker_shutdown_timeout 1h;   # old workers keep their sockets longer after a reload",
        "k8s-ingress": "worker-shutdown-timeout: 3600s in the ConfigMap; a controller of its own for sockets",
        "caddy": "reverse_proxy app:3000 { stream_close_delay 1h }",
        "haproxy": "hard-stop-after 1h",
        "general": "Reload less often, let old workers finish, and reconnect with jitter.",
    },
    "keepalive": {
        "uvicorn": "uvicorn --ws-ping-interval 20 --ws-ping-timeout 60",
        "socketio": "new Server(server, { pingInterval: 25000, pingTimeout: 60000 })",
        "node-ws": "setInterval(() => wss.clients.forEach((ws) => ws.ping()), 30000)",
        "phoenix": "new Socket(url, { heartbeatIntervalMs: 20000 })",
        "aspnet": "options.KeepAliveInterval = 15 s; options.ClientTimeoutInterval = 60 s",
        "general": "Ping from the server at less than half of the smallest limit on the way, and wait for"
        " the pong longer"
        " than a busy event loop or a background tab needs (70 s).",
    },
    "half-open": {
        "azure": "Load Balancer: enable TCP reset on idle",
        "general": "Detect it: ping and close when no pong comes; a socket to a peer that vanished stays"
        " open for minutes.",
    },
    "waf": {
        "caddy": "Keep the WAF handler away from requests with Upgrade: websocket",
        "nginx": "location /ws { modsecurity off; coraza off; ... }",
        "general": "Bypass the firewall's or wrapper's handler for requests with Upgrade and"
        " Sec-WebSocket-Key: it buffers"
        " the response and cannot carry a tunnel.",
    },
    "backoff": {
        "general": "delay = min(cap, base * 2 ** attempt) * (0.5 + Math.random() / 2); reset it only after a"
        " connection has"
        " lived for a while, and stop on codes that a retry cannot cure.",
    },
    "duplicates": {
        "general": "Keep one socket: close the old one before opening another, and clean up in useEffect's"
        " return.",
    },
    "frame-bug": {
        "general": "The sender's library, or a box that rewrites frames, is broken: update it, or take it"
        " off the way.",
    },
    "compression": {
        "node-ws": "new WebSocketServer({ perMessageDeflate: false })",
        "uvicorn": "uvicorn --ws-per-message-deflate false",
        "general": "Switch permessage-deflate off at the server, or negotiate server_no_context_takeover and"
        " client_no_context_takeover; nothing on the way may change Sec-WebSocket-Extensions in one"
        " direction only.",
    },
    "size": {
        "node-ws": "new WebSocketServer({ maxPayload: 16 * 1024 * 1024 })",
        "socketio": "new Server(server, { maxHttpBufferSize: 1e7 })",
        "uvicorn": "uvicorn --ws-max-size 16777216",
        "aspnet": "services.AddSignalR(o => o.MaximumReceiveMessageSize = 1024 * 1024)",
        "aws": "API Gateway: 32 KB a frame, 128 KB a message: cut larger messages",
        "general": "Raise the receiver's limit on message size, or cut the message into several.",
    },
    "utf8": {
        "general": "Send binary messages for what is not text; never cut UTF-8 between bytes of a character."
    },
    "close-code": {
        "general": "Send 1000, 1001, 1008, 1011 or a code from 3000 to 4999; 1005, 1006 and 1015 are never"
        " sent.",
    },
    "close-handshake": {
        "general": "Answer a CLOSE frame with one, and close TCP only after that, the server first (RFC"
        " 6455, 7.1.1).",
    },
    "abrupt": {
        "general": "Read the log of the side that ended it: a crash, a kill, a deploy or a limit of a box in"
        " between ends"
        " TCP without a CLOSE frame. A tap on the other side of each hop says which one.",
    },
    "policy": {"general": "The close reason says which rule was broken; it is the application's."},
    "server-restart": {
        "general": "Reconnect after a random delay of some seconds; close with 1012 or 1001 on deploys."
    },
    "overload": {"general": "Reconnect later, with a growing delay; add capacity."},
    "no-attempt": {
        "general": "Set a breakpoint at new WebSocket(): is the code reached on the client (and not only"
        " while rendering on"
        " the server), is another plugin holding the socket, is an extension or service worker in the way?",
    },
    "csp": {
        "general": "Content-Security-Policy: connect-src 'self' wss://your.site   # 'self' does not cover"
        " wss in every browser",
    },
    "mixed": {
        "general": "const scheme = location.protocol === 'https:' ? 'wss' : 'ws'; new"
        " WebSocket(`${scheme}://${location.host}"
        "/path`)",
    },
    "polling": {
        "general": "io(url, { transports: ['websocket'] }) shows why the upgrade fails; the proxy has to"
        " carry it on"
        " /socket.io/.",
    },
    "scripts": {
        "general": "Load the page with the developer tools open: the script that opens the socket did not"
        " arrive."
    },
    "tool-alpn": {
        "general": "Compare with a run of the browser without the proxy: over HTTP/2 it may take another"
        " way.",
    },
    "tool-host": {"general": "wsinspect run --host keep ... forwards Host unchanged."},
    "tool-gap": {"general": "Make room on the disk; what is missing is opaque from there on."},
    "buffering": {
        "nginx": "location /ws { proxy_buffering off; sub_filter_types none; gzip off; }",
        "general": "Switch response buffering and rewriting off for the socket's path.",
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
    "early-data": {
        "general": "Attach onmessage before the socket can open, or let the server wait for a first message"
        " of the client.",
    },
}


def fixes_for(topic: str, software: Sequence[str] = ()) -> tuple[Fix, ...]:
    """The fixes of a topic: for the software that was recognised, then in general."""
    known = FIXES.get(topic, {})
    names = [name for name in dict.fromkeys(software) if name in known and name != "general"]
    return tuple(Fix(name, known[name]) for name in (*names, "general") if name in known)
