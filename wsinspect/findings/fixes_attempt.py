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
        "npm": "Switch on 'Websockets Support' of the proxy host; it covers / alone. In each custom "
        "location add:\n"
        "proxy_http_version 1.1;\n"
        "proxy_set_header Upgrade $http_upgrade;\n"
        "proxy_set_header Connection $http_connection;\n"
        "then look at /data/nginx/proxy_host/*.conf",
        "apache": 'ProxyPass "/ws" "http://127.0.0.1:3000/ws" upgrade=websocket   # 2.4.47 and newer\n'
        '# older: a2enmod proxy_wstunnel, and before the http rule: ProxyPass "/ws" '
        '"ws://127.0.0.1:3000/ws"',
        "caddy": "reverse_proxy app:3000   # forwards upgrades by itself: look for a header_up that "
        "takes them away, and for transport http { versions h2c }",
        "haproxy": "HAProxy forwards upgrades by itself: look for http-request del-header upgrade, for "
        "option httpclose, and write 'ws h1' or 'alpn http/1.1' at the server line if it "
        "speaks h2 to it",
        "traefik": "Traefik forwards upgrades by itself: look for a headers middleware that sets "
        "Connection or Upgrade, and route the path to the service of the application",
        "envoy": "http_connection_manager:\n  upgrade_configs: [{ upgrade_type: websocket }]",
        "iis": "Install-WindowsFeature Web-WebSockets, and enable it: <system.webServer><webSocket "
        'enabled="true"/>',
        "cloudflare": "Network > WebSockets: on; and no cache rule or Worker on this path that rebuilds the"
        " request",
        "aws": "CloudFront: an origin request policy that forwards Sec-WebSocket-Key, -Version, "
        "-Protocol, -Accept and -Extensions (AllViewer does); ALB: forward the path to an "
        "HTTP/1.1 target group",
        "gcp": "Use a backend service with protocol HTTP (1.1): external load balancers forward "
        "upgrades to it",
        "azure": "Front Door: disable caching on the route; Application Gateway forwards upgrades with"
        " HTTP/1.1 backends",
        "k8s-ingress": "ingress-nginx forwards upgrades by itself; remove a configuration-snippet with "
        "proxy_set_header Connection, and do not point the path at an h2 backend",
        "vite": "server: { proxy: { '/ws': { target: 'http://localhost:3000', ws: true } } }",
        "webpack": "devServer: { proxy: [{ context: ['/ws'], target: 'http://localhost:3000', ws: true }] }",
        "next": "rewrites() cannot carry an upgrade with every host: put the socket server behind its"
        " own location",
        "uvicorn": "pip install 'uvicorn[standard]'   # without a WebSocket library each upgrade is an "
        "ordinary request",
        "channels": "An ASGI server has to run, not WSGI: daphne project.asgi:application, with websocket"
        " in ProtocolTypeRouter",
        "rails": "mount ActionCable.server => '/cable', in a server that lets sockets be taken over (Puma)",
        "phoenix": 'socket "/socket", MyAppWeb.UserSocket, websocket: true   # above plug MyAppWeb.Router',
        "aspnet": "app.UseWebSockets();   // before the middleware or endpoint that accepts them",
        "node-ws": "server.on('upgrade', (request, socket, head) => wss.handleUpgrade(request, socket, "
        "head, accept))",
        "socketio": "new Server(httpServer) and httpServer.listen(...): the server that listens has to be"
        " the one that Socket.IO is attached to",
        "general": "Every proxy on the way must forward the request as HTTP/1.1 with 'Connection: "
        "Upgrade' and 'Upgrade: websocket': both are hop-by-hop, so each hop has to set them "
        "again.",
    },
    "http10": {
        "nginx": "proxy_http_version 1.1;   # the default was 1.0 before nginx 1.29.7",
        "npm": "proxy_http_version 1.1;   # in the custom location or under Advanced",
        "haproxy": "HAProxy speaks HTTP/1.1 to servers by itself: look for the hop behind it",
        "apache": "remove SetEnv force-proxy-request-1.0 1 and SetEnv proxy-nokeepalive 1",
        "k8s-ingress": 'nginx.ingress.kubernetes.io/proxy-http-version: "1.1"',
        "general": "Make the proxy speak HTTP/1.1 to the application: HTTP/1.0 has no upgrade (RFC 6455,"
        " 4.1).",
    },
    "route": {
        "nginx": "location /ws { proxy_pass http://app; ... }   # before the catch-all; a slash after "
        "the host in proxy_pass rewrites the path",
        "caddy": "handle /ws* { reverse_proxy app:3000 }   # before the file server",
        "apache": 'ProxyPass "/ws" "http://127.0.0.1:3000/ws" upgrade=websocket   # before the rule for /',
        "haproxy": "use_backend app if { path_beg /ws }",
        "uvicorn": "pip install 'uvicorn[standard]'   # without a WebSocket library each attempt is a 404",
        "rails": "mount ActionCable.server => '/cable'; config.action_cable.allowed_request_origins = "
        "['https://your.site']",
        "channels": "ProtocolTypeRouter({'websocket': URLRouter([path('ws/', Consumer.as_asgi())])})",
        "phoenix": 'socket "/socket", MyAppWeb.UserSocket, websocket: true   # the client connects to '
        "/socket/websocket",
        "node-ws": "new WebSocketServer({ server, path: '/ws' })   # the path must be the one of the URL",
        "npm": "Add a custom location for the socket's path that forwards to the application's port,"
        " with the three upgrade lines in it",
        "traefik": "rule: Host(`your.site`) && PathPrefix(`/ws`), with a higher priority than the "
        "catch-all router",
        "envoy": "routes: [{ match: { prefix: /ws }, route: { cluster: app } }, ...]   # before the prefix /",
        "k8s-ingress": "paths: [{ path: /ws, pathType: Prefix, backend: ... }]   # and no rewrite-target "
        "that changes it",
        "aws": "ALB: a listener rule for the path /ws* before the default rule",
        "iis": "web.config: exclude the path from the rewrite rule of the single-page application",
        "aspnet": 'app.MapHub<ChatHub>("/chatHub");   // before app.MapFallbackToFile(...)',
        "socketio": "The client's path option has to be the server's: io(url, { path: '/socket.io/' })",
        "general": "Compare the path of the URL with the route of the server, with and without the "
        "trailing slash and prefix; a rule for single-page applications must not catch the "
        "socket's path.",
    },
    "redirect-scheme": {
        "nginx": "Use wss:// in the client; or, for development: serve location /ws on port 80 before "
        "return 301",
        "k8s-ingress": 'Use wss:// in the client; or nginx.ingress.kubernetes.io/ssl-redirect: "false"',
        "channels": "Use wss:// in the client; SECURE_REDIRECT_EXEMPT = [r'^ws/'] exempts the path",
        "rails": "Use wss:// in the client; config.ssl_options = { redirect: { exclude: ->(r) { r.path"
        " == '/cable' } } } exempts it",
        "aspnet": "Use wss:// in the client; app.UseHttpsRedirection() comes after the endpoint that "
        "should be exempt",
        "general": "Use wss:// in the client: const url = `${location.protocol === 'https:' ? 'wss' : "
        "'ws'}://${location.host}/path`. Browsers do not follow redirects of a WebSocket.",
    },
    "redirect-slash": {
        "nginx": "location = /ws { proxy_pass http://app; ... }   # a location that ends in / "
        "redirects the path without it",
        "channels": "re_path(r'^ws/?$', Consumer.as_asgi())",
        "general": "Use the final URL, with its slash, in the client. Browsers do not follow redirects "
        "of a WebSocket.",
    },
    "redirect-login": {
        "general": "Exempt the socket's path from the login redirect and answer 401 there; send the "
        "session's cookie (same site, SameSite=None; Secure for another one) or a short-lived"
        " ticket in the query.",
    },
    "redirect": {
        "general": "Use the final URL in the client. Browsers do not follow redirects of a WebSocket.",
    },
    "auth": {
        "channels": "AuthMiddlewareStack(URLRouter(...)) and the session's cookie on the same site",
        "nginx": "location /ws { auth_basic off; ... }   # and let the application check a cookie or ticket",
        "node-ws": "server.on('upgrade', ...): check the cookie or the ticket of the query before "
        "handleUpgrade",
        "socketio": "io(url, { auth: { token } }) or withCredentials: true for the cookie",
        "uvicorn": "Starlette, FastAPI: read websocket.cookies or websocket.query_params before accept()",
        "rails": "identified_by :current_user, and cookies.encrypted[...] in "
        "ApplicationCable::Connection#connect",
        "phoenix": 'new Socket("/socket", { params: { token } }), verified in connect/3',
        "aspnet": "JwtBearerEvents.OnMessageReceived: context.Token = "
        'context.Request.Query["access_token"] for the hub\'s path',
        "general": "new WebSocket() cannot set Authorization: use a cookie, a short-lived ticket in the "
        "query, or a token in Sec-WebSocket-Protocol that the server echoes.",
    },
    "origin": {
        "rails": "config.action_cable.allowed_request_origins = ['https://your.site']",
        "phoenix": 'socket "/socket", UserSocket, websocket: [check_origin: ["https://your.site"]]',
        "channels": "AllowedHostsOriginValidator, and the site in ALLOWED_HOSTS",
        "socketio": "new Server(server, { cors: { origin: 'https://your.site' } })",
        "aspnet": 'app.UseCors(p => p.WithOrigins("https://your.site").AllowCredentials()...)',
        "nginx": "proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto $scheme;",
        "vite": "server: { allowedHosts: ['your.site'] }",
        "node-ws": "new WebSocketServer({ verifyClient: ({ origin }) => allowed.has(origin) })",
        "uvicorn": "Compare websocket.headers['origin'] with your own list before accept(); behind a "
        "proxy --proxy-headers",
        "next": "allowedDevOrigins: ['your.site']",
        "npm": "Access List: 'Publicly Accessible', or the client's address on its list; Host is "
        "forwarded by itself",
        "apache": "ProxyPreserveHost On",
        "traefik": "passHostHeader: true   # the default; look for an ipAllowList or headers middleware",
        "haproxy": "http-request set-header X-Forwarded-Proto https if { ssl_fc }   # Host passes unchanged",
        "caddy": "Host passes unchanged: look for header_up Host",
        "cloudflare": "Security > Events shows what refused it: a WAF rule with Skip for this path lets it "
        "pass",
        "websockets": "serve(..., origins=['https://your.site'])",
        "general": "Put the page's origin on the server's list of allowed origins, and let every proxy "
        "forward Host and X-Forwarded-Proto, so that a same-origin check compares with what "
        "the browser sees.",
    },
    "header-size": {
        "nginx": "large_client_header_buffers 4 32k; proxy_buffer_size 16k; proxy_buffers 4 16k;",
        "haproxy": "global\n    tune.bufsize 32768",
        "apache": "LimitRequestFieldSize 32768",
        "node-ws": "node --max-http-header-size=32768",
        "npm": "large_client_header_buffers 4 32k; proxy_buffer_size 16k; proxy_buffers 4 16k;   # "
        "under Advanced",
        "caddy": "{ servers { max_header_size 64kb } }",
        "envoy": "max_request_headers_kb: 96",
        "k8s-ingress": 'ConfigMap: large-client-header-buffers: "4 32k"; annotation: '
        'nginx.ingress.kubernetes.io/proxy-buffer-size: "16k"',
        "uvicorn": "uvicorn --h11-max-incomplete-event-size 65536",
        "aspnet": "options.Limits.MaxRequestHeadersTotalSize = 65536   // Kestrel",
        "general": "Make the request smaller (delete stale cookies, no token in the subprotocol) or "
        "raise the limit on header size of the hop that answered.",
    },
    "rate": {
        "nginx": "limit_req zone=... burst=20 nodelay;   # or none in the socket's location",
        "k8s-ingress": "nginx.ingress.kubernetes.io/limit-rps and limit-connections: raise them for this "
        "host",
        "traefik": "rateLimit middleware: raise average and burst, or take it off the socket's router",
        "cloudflare": "Security > WAF > Rate limiting rules: exempt the socket's path",
        "general": "Reconnect with exponential backoff and jitter, and raise the rate limit for the "
        "socket's path.",
    },
    "method": {
        "general": "curl --http1.1 -i -N -H 'Connection: Upgrade' -H 'Upgrade: websocket'"
        " -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' URL   # no -I",
    },
    "version": {
        "general": "The client must send 'Sec-WebSocket-Version: 13' (RFC 6455, 4.1).",
    },
    "server-error": {
        "uvicorn": "uvicorn --log-level debug shows the traceback of the connect handler",
        "channels": "The traceback of the consumer's connect() is in the log of daphne",
        "rails": "log/production.log has the exception of ApplicationCable::Connection#connect",
        "phoenix": "The exception of connect/3 is in the application's log",
        "aspnet": 'Logging: "Microsoft.AspNetCore.SignalR": "Debug"',
        "nginx": "error.log says why nginx itself answered 500 (a rewrite cycle, a file that is missing)",
        "general": "Read the application's log at this moment: its connect handler raised.",
    },
    "bad-gateway": {
        "nginx": "proxy_pass http://127.0.0.1:3000;   # is something listening there? error.log says "
        "'connect() failed'",
        "haproxy": "server app 127.0.0.1:3000 check   # and 'ws h1' if the backend speaks h2 without RFC"
        " 8441",
        "caddy": "reverse_proxy app:3000   # is something listening there, and is it http, not https?",
        "k8s-ingress": "kubectl get endpoints: has the service a ready pod, and does targetPort match?",
        "npm": "Forward Hostname / Port: inside a container localhost is the container; scheme http,"
        " not https",
        "apache": 'ProxyPass "/ws" "http://127.0.0.1:3000/ws" upgrade=websocket   # error_log says '
        "AH01114 or AH00957 where nothing listens",
        "traefik": "loadbalancer.server.port: the port inside the container; scheme: http, not h2c",
        "envoy": "cluster app: is an endpoint healthy, and are http2_protocol_options unset for this "
        "cluster?",
        "iis": "ARR: is the server of the farm online; iisnode: does the application listen at "
        "process.env.PORT?",
        "cloudflare": "Does the origin answer directly? Error 502, 520 to 523: the origin's address, "
        "firewall or TLS mode",
        "aws": "Target group: protocol version HTTP1, port of the application, healthy targets",
        "gcp": "Backend service: protocol HTTP, a health check that passes, a named port",
        "azure": "Application Gateway: backend health, probe and protocol HTTP/1.1; App Service: Web "
        "sockets On",
        "general": "Start the application, and check the address and port that the proxy forwards to.",
    },
    "timeout": {
        "nginx": "proxy_connect_timeout 10s; proxy_read_timeout 60s;   # the handshake's answer has to"
        " come within",
        "npm": "proxy_connect_timeout 10s; proxy_read_timeout 60s;   # under Advanced",
        "apache": "ProxyTimeout 60",
        "haproxy": "timeout connect 5s; timeout server 60s   # until the 101; timeout tunnel after it",
        "caddy": "transport http { dial_timeout 10s; response_header_timeout 60s }",
        "traefik": "serversTransport.forwardingTimeouts.responseHeaderTimeout: 60s",
        "envoy": "route: { timeout: 60s }",
        "iis": "ARR: Server Proxy Settings, time-out (seconds)",
        "cloudflare": "524: the origin has to answer within 100 s",
        "aws": "ALB: idle_timeout.timeout_seconds = 60; the application has to answer before",
        "gcp": "gcloud compute backend-services update NAME --timeout=60",
        "azure": "Application Gateway: request timeout of the backend setting",
        "k8s-ingress": 'nginx.ingress.kubernetes.io/proxy-connect-timeout and proxy-read-timeout: "60"',
        "general": "The application answered the handshake later than the proxy waits: answer first, do "
        "slow work after.",
    },
    "accept": {
        "general": "Compute Sec-WebSocket-Accept from the key of this very request: base64(sha1(key + "
        "GUID)), RFC 6455, 4.2.2. A box that ends the WebSocket and opens another one must do"
        " both handshakes itself; a cache must never answer.",
    },
    "subprotocol": {
        "socketio": "Leave the protocols argument out",
        "node-ws": "new WebSocketServer({ handleProtocols: (offered) => offered.has('v1') ? 'v1' : false })",
        "nginx": "proxy_set_header Sec-WebSocket-Protocol $http_sec_websocket_protocol;   # only if "
        "something removes it",
        "uvicorn": 'await websocket.accept(subprotocol="v1")   # Starlette, FastAPI',
        "channels": 'await self.accept(subprotocol="v1")',
        "phoenix": 'socket "/socket", UserSocket, websocket: [subprotocols: ["v1"]]',
        "aspnet": 'await context.WebSockets.AcceptWebSocketAsync("v1");',
        "aws": "CloudFront: an origin request policy that forwards Sec-WebSocket-Protocol",
        "websockets": "serve(..., subprotocols=['v1'])",
        "general": "The server must answer with exactly one of the offered Sec-WebSocket-Protocol "
        "values; a token sent as subprotocol has to be echoed too.",
    },
    "extension": {
        "general": "Answer only extensions and parameters that were offered (RFC 6455, 9.1); what strips"
        " Sec-WebSocket-Extensions must strip it in both directions, or permessage-deflate "
        "must be off.",
        "iis": "ARR: clear HTTP_SEC_WEBSOCKET_EXTENSIONS in a rewrite rule, or switch permessage-deflate off",
    },
    "garbage": {
        "next": "One upgrade handler for one path: pass '/_next/webpack-hmr' to "
        "app.getUpgradeHandler(), the rest to yours",
        "node-ws": "new WebSocketServer({ noServer: true }) and one server.on('upgrade') that dispatches"
        " by path",
        "vite": "server: { hmr: { server } } or hmr: { port: 24678 }: Vite's handler and yours must "
        "not share one path",
        "socketio": "new Server(server, { destroyUpgrade: false, path: '/socket.io/' }) beside another "
        "upgrade handler",
        "general": "Only one handler may answer an upgrade: two handlers on one server write over each "
        "other.",
    },
    "connect": {
        "general": "Start the server, or correct the host and port; is it bound to another address (::1 "
        "and 127.0.0.1 differ, 0.0.0.0 inside containers)?",
    },
    "dns": {
        "general": "Correct the host name, or make it known to this machine's resolver.",
    },
    "empty-answer": {
        "general": "Read the server's log: it closed the connection without an answer. Is this an HTTP "
        "server, and is the scheme right?",
    },
    "gave-up": {
        "general": "The server did not answer while the client waited: is its upgrade handler reached, "
        "and does it wait for something?",
    },
    "tls-trust-us": {
        "general": "Trust wsinspect's CA in this client (`wsinspect ca` says how; Firefox has a store of"
        " its own), or use `wsinspect browser`, which does.",
    },
    "certificate": {
        "caddy": "Caddy renews by itself: see its log for the ACME error",
        "nginx": "ssl_certificate /etc/letsencrypt/live/your.site/fullchain.pem;   # the chain, not "
        "cert.pem; then reload",
        "apache": "SSLCertificateFile /etc/letsencrypt/live/your.site/fullchain.pem",
        "haproxy": "bind :443 ssl crt /etc/haproxy/your.site.pem   # key, certificate and intermediates "
        "in one file",
        "traefik": "certificatesResolvers: see its log for the ACME error; the default certificate is "
        "self-signed",
        "npm": "SSL Certificates: renew it, and choose it at the proxy host",
        "k8s-ingress": "The tls secret must exist in the ingress' namespace: the fake certificate is served "
        "without it",
        "cloudflare": "SSL/TLS mode Full (strict) needs a certificate at the origin that is valid for its "
        "name",
        "node-ws": "https.createServer({ cert: fs.readFileSync('fullchain.pem'), key })",
        "uvicorn": "uvicorn --ssl-certfile fullchain.pem --ssl-keyfile key.pem",
        "general": "Install a certificate that is valid now, for this very name, with its intermediate "
        "certificates; for development trust your own CA in the browser (`mkcert`), or pass "
        "--insecure here.",
    },
    "tls-version": {
        "nginx": "ssl_protocols TLSv1.2 TLSv1.3;",
        "apache": "SSLProtocol -all +TLSv1.2 +TLSv1.3",
        "haproxy": "ssl-default-bind-options ssl-min-ver TLSv1.2",
        "cloudflare": "SSL/TLS > Edge certificates > Minimum TLS version: 1.2",
        "general": "Both sides need a TLS version (1.2 or 1.3) and a cipher in common.",
    },
    "client-certificate": {
        "nginx": "ssl_verify_client optional;   # or off for the socket's location",
        "apache": "SSLVerifyClient optional",
        "haproxy": "bind :443 ssl crt ... ca-file ca.pem verify optional",
        "caddy": "tls { client_auth { mode verify_if_given } }",
        "general": "The server asks for a client certificate: give it one (--set client_certs=FILE "
        "here), or do not ask on this path.",
    },
    "scheme": {
        "general": "ws:// goes to the plain port (80), wss:// to the TLS port (443): correct the scheme "
        "or the port, here or in the proxy's target.",
    },
    "sec-headers": {
        "aws": "Origin request policy AllViewer, or one with Sec-WebSocket-Key, -Version, -Protocol,"
        " -Extensions",
        "azure": "Disable caching on the route",
        "general": "Forward every Sec-WebSocket-* header unchanged, in both directions.",
    },
    "h2": {
        "haproxy": "server app 127.0.0.1:3000 alpn http/1.1   # or: ws h1",
        "nginx": "nginx's http2 listener has no RFC 8441: browsers open a separate HTTP/1.1 "
        "connection, which works",
        "general": "Announce SETTINGS_ENABLE_CONNECT_PROTOCOL only where extended CONNECT works end to "
        "end (Go proxies: GODEBUG=http2xconnect=0), else let that host speak http/1.1.",
    },
    "h2-upgrade": {
        "general": "curl --http1.1 ..., or offer only http/1.1 by ALPN for WebSockets.",
    },
    "h2-offer": {
        "nginx": "listen 443 ssl http2;   # from 1.25.1 on: http2 on;",
        "haproxy": "bind :443 ssl crt site.pem alpn h2,http/1.1",
        "general": "Nothing, if pages and WebSockets work; else switch HTTP/2 on at that hop.",
    },
    "early-hints": {
        "general": "Send no 103 Early Hints to a WebSocket handshake: Chromium refuses it.",
    },
    "forward-proxy": {
        "general": "Use wss:// through this proxy, allow CONNECT to the port, or give it credentials.",
    },
    "own-answer": {
        "nginx": "error_log /var/log/nginx/error.log info;   # says why; nginx -T shows the location "
        "that matched",
        "npm": "/data/logs/proxy-host-*_error.log says why",
        "apache": "LogLevel debug; error_log says why",
        "haproxy": "option httplog: the termination state (PR--, SC--, sH--) says why",
        "caddy": "log at the site, or { debug }",
        "envoy": "%RESPONSE_FLAGS% in the access log says why",
        "general": "Read the log of the hop at this moment, and the rule of its configuration that "
        "matches this path.",
    },
}
