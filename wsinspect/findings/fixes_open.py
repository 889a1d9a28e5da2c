"""Snippets for open connections, applications and pages, by topic and software."""

from __future__ import annotations

from typing import Final

FIXES: Final[dict[str, dict[str, str]]] = {
    "hmr": {
        "vite": "server: { hmr: { protocol: 'wss', clientPort: 443 } }   # and the proxy must carry "
        "the upgrade",
        "webpack": "devServer: { client: { webSocketURL: 'auto://0.0.0.0:0/ws' } }",
        "next": "location /_next/webpack-hmr { proxy_pass http://next; proxy_http_version 1.1; "
        'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }',
        "general": "Let the client of the dev server connect to the host and port of the page, and let "
        "the proxy carry the upgrade on that path.",
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
        "caddy": "reverse_proxy a:3000 b:3000 { lb_policy cookie }",
        "traefik": "services.app.loadBalancer.sticky.cookie: {}",
        "apache": "ProxySet stickysession=ROUTEID",
        "gcp": "Backend service: session affinity GENERATED_COOKIE",
        "azure": "Application Gateway: cookie-based affinity; App Service: ARR affinity On",
        "iis": "ARR: Server Affinity, client affinity",
        "cloudflare": "Load Balancing: session affinity by cookie",
        "envoy": "http_filters: envoy.filters.http.stateful_session with a cookie",
        "general": "Sessions must reach the server that made them: sticky sessions, or transports: "
        "['websocket'] alone.",
    },
    "eio-version": {
        "general": "Client and server of Socket.IO need the same major version (EIO=4 is 3.x and 4.x, "
        "EIO=3 is 1.x and 2.x); or allowEIO3: true on the server.",
    },
    "signalr": {
        "aspnet": "options.SkipNegotiation = true with Transports = HttpTransportType.WebSockets, or "
        "sticky sessions",
        "general": "negotiate and the WebSocket must reach the same server: stickiness, or skip the "
        "negotiation.",
    },
    "graphql": {
        "general": "Client and server must speak the same subprotocol: graphql-transport-ws (library "
        "graphql-ws) or the older graphql-ws (subscriptions-transport-ws); connection_init "
        "comes first.",
    },
    "app-auth": {
        "general": "Send the credentials with the handshake (cookie, ticket in the query, subprotocol), "
        "or in the first message at once and before the server's time limit; refresh an "
        "expired token before reconnecting.",
    },
    "app": {
        "general": "The reason in the evidence is the application's own: look for it in the server's "
        "code and log.",
    },
    "idle": {
        "nginx": "proxy_read_timeout 1h; proxy_send_timeout 1h;   # counts bytes from the application:"
        " its pings reset it",
        "npm": "proxy_read_timeout 1h; proxy_send_timeout 1h;   # under Advanced",
        "apache": "ProxyTimeout 3600",
        "haproxy": "timeout tunnel 1h",
        "caddy": "Caddy has no idle timeout of its own for upgraded connections: look at read_timeout "
        "of the transport and at the hop before it",
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
        "uvicorn": "uvicorn --ws-ping-interval 20   # its pings keep hops awake",
        "node-ws": "setInterval(() => wss.clients.forEach((ws) => ws.ping()), 30000)   # at less than "
        "half of the limit",
        "general": "Raise the idle timeout of the hop that closed, and send a ping from the server at "
        "less than half of the smallest limit on the way.",
    },
    "lifetime": {
        "gcp": "gcloud compute backend-services update NAME --timeout=86400",
        "aws": "API Gateway closes after 2 h: reconnect before, at a moment of your own",
        "azure": "Front Door closes after 4 h: reconnect before, at a moment of your own",
        "envoy": "max_stream_duration and max_connection_duration: 0s or unset",
        "traefik": "entryPoints.web.transport.respondingTimeouts.writeTimeout: 0",
        "k8s-ingress": "worker-shutdown-timeout: 3600s in the ConfigMap; sockets end that long after a "
        "reload",
        "general": "Raise the maximum duration, or reconnect in the client at a planned moment before it.",
    },
    "reload": {
        "nginx": "worker_shutdown_timeout 1h;   # old workers keep their sockets longer after a reload",
        "k8s-ingress": "worker-shutdown-timeout: 3600s in the ConfigMap; a controller of its own for sockets",
        "caddy": "reverse_proxy app:3000 { stream_close_delay 1h }",
        "haproxy": "hard-stop-after 1h",
        "npm": "Saving any host reloads nginx: worker_shutdown_timeout 1h; in "
        "/data/nginx/custom/root_top.conf",
        "apache": "GracefulShutdownTimeout 3600",
        "envoy": "envoy --drain-time-s 3600",
        "traefik": "entryPoints.web.transport.lifeCycle.graceTimeOut: 1h",
        "aws": "Target group: deregistration delay 3600 s",
        "uvicorn": "uvicorn --timeout-graceful-shutdown 60, and close with 1012 yourself",
        "phoenix": 'socket "/socket", UserSocket, websocket: [drainer: [shutdown: 30_000]]',
        "general": "Reload less often, let old workers finish, and reconnect with jitter.",
    },
    "keepalive": {
        "uvicorn": "uvicorn --ws-ping-interval 20 --ws-ping-timeout 60",
        "socketio": "new Server(server, { pingInterval: 25000, pingTimeout: 60000 })",
        "node-ws": "setInterval(() => wss.clients.forEach((ws) => ws.ping()), 30000)",
        "phoenix": "new Socket(url, { heartbeatIntervalMs: 20000 })",
        "aspnet": "options.KeepAliveInterval = 15 s; options.ClientTimeoutInterval = 60 s",
        "channels": "daphne --ping-interval 20 --ping-timeout 60 project.asgi:application",
        "rails": "Action Cable pings every 3 s by itself: look for what holds them back",
        "websockets": "serve(..., ping_interval=20, ping_timeout=60)",
        "general": "Ping from the server at less than half of the smallest limit on the way, and wait "
        "for the pong longer than a busy event loop or a background tab needs (70 s).",
    },
    "half-open": {
        "azure": "Load Balancer: enable TCP reset on idle",
        "general": "Detect it: ping and close when no pong comes; a socket to a peer that vanished stays"
        " open for minutes.",
    },
    "waf": {
        "caddy": "Keep the WAF handler away from requests with Upgrade: websocket",
        "nginx": "location /ws { modsecurity off; coraza off; ... }",
        "apache": '<Location "/ws"> SecRuleEngine Off </Location>',
        "k8s-ingress": 'nginx.ingress.kubernetes.io/enable-modsecurity: "false"   # in an ingress of its own'
        " for the path",
        "cloudflare": "Security > WAF: a custom rule with Skip for the socket's path",
        "aws": "AWS WAF: a rule that allows the socket's path before the managed rules",
        "azure": "WAF policy: an exclusion, or a custom rule that allows the socket's path",
        "general": "Bypass the firewall's or wrapper's handler for requests with Upgrade and "
        "Sec-WebSocket-Key: it buffers the response and cannot carry a tunnel.",
    },
    "backoff": {
        "general": "delay = min(cap, base * 2 ** attempt) * (0.5 + Math.random() / 2); reset it only "
        "after a connection has lived for a while, and stop on codes that a retry cannot "
        "cure.",
    },
    "duplicates": {
        "general": "Keep one socket: close the old one before opening another, and clean up in "
        "useEffect's return.",
    },
    "frame-bug": {
        "general": "The sender's library, or a box that rewrites frames, is broken: update it, or take "
        "it off the way.",
    },
    "compression": {
        "node-ws": "new WebSocketServer({ perMessageDeflate: false })",
        "uvicorn": "uvicorn --ws-per-message-deflate false",
        "socketio": "new Server(server, { perMessageDeflate: false })   // the default since 2.4 and 3",
        "phoenix": 'socket "/socket", UserSocket, websocket: [compress: false]',
        "aspnet": "new WebSocketAcceptContext { DangerousEnableCompression = false }",
        "websockets": "serve(..., compression=None)",
        "general": "Switch permessage-deflate off at the server, or negotiate server_no_context_takeover"
        " and client_no_context_takeover; nothing on the way may change "
        "Sec-WebSocket-Extensions in one direction only.",
    },
    "size": {
        "node-ws": "new WebSocketServer({ maxPayload: 16 * 1024 * 1024 })",
        "socketio": "new Server(server, { maxHttpBufferSize: 1e7 })",
        "uvicorn": "uvicorn --ws-max-size 16777216",
        "aspnet": "services.AddSignalR(o => o.MaximumReceiveMessageSize = 1024 * 1024)",
        "aws": "API Gateway: 32 KB a frame, 128 KB a message: cut larger messages",
        "phoenix": 'socket "/socket", UserSocket, websocket: [max_frame_size: 8_000_000]',
        "websockets": "serve(..., max_size=16 * 2**20)",
        "general": "Raise the receiver's limit on message size, or cut the message into several.",
    },
    "utf8": {
        "general": "Send binary messages for what is not text; never cut UTF-8 between bytes of a character.",
    },
    "close-code": {
        "general": "Send 1000, 1001, 1008, 1011 or a code from 3000 to 4999; 1005, 1006 and 1015 are "
        "never sent.",
    },
    "close-handshake": {
        "general": "Answer a CLOSE frame with one, and close TCP only after that, the server first (RFC "
        "6455, 7.1.1).",
    },
    "abrupt": {
        "general": "Read the log of the side that ended it: a crash, a kill, a deploy or a limit of a "
        "box in between ends TCP without a CLOSE frame. A tap on the other side of each hop "
        "says which one.",
    },
    "policy": {
        "general": "The close reason says which rule was broken; it is the application's.",
    },
    "server-restart": {
        "general": "Reconnect after a random delay of some seconds; close with 1012 or 1001 on deploys.",
    },
    "overload": {
        "general": "Reconnect later, with a growing delay; add capacity.",
    },
    "no-attempt": {
        "general": "Set a breakpoint at new WebSocket(): is the code reached on the client (and not only"
        " while rendering on the server), is another plugin holding the socket, is an "
        "extension or service worker in the way?",
    },
    "csp": {
        "nginx": "add_header Content-Security-Policy \"default-src 'self'; connect-src 'self' "
        'wss://your.site" always;',
        "apache": "Header always set Content-Security-Policy \"connect-src 'self' wss://your.site\"",
        "caddy": "header Content-Security-Policy \"connect-src 'self' wss://your.site\"",
        "channels": 'django-csp: CSP_CONNECT_SRC = ("\'self\'", "wss://your.site")',
        "rails": "policy.connect_src :self, 'wss://your.site'   # "
        "config/initializers/content_security_policy.rb",
        "general": "Content-Security-Policy: connect-src 'self' wss://your.site   # 'self' does not "
        "cover wss in every browser",
    },
    "mixed": {
        "general": "const scheme = location.protocol === 'https:' ? 'wss' : 'ws'; new "
        "WebSocket(`${scheme}://${location.host}/path`)",
    },
    "polling": {
        "socketio": "Server: transports: ['polling', 'websocket']; client: the same list, and no upgrade:"
        " false",
        "nginx": "location /socket.io/ { proxy_pass http://app; proxy_http_version 1.1; "
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "
        "$connection_upgrade; }",
        "general": "io(url, { transports: ['websocket'] }) shows why the upgrade fails; the proxy has to"
        " carry it on /socket.io/.",
    },
    "scripts": {
        "general": "Load the page with the developer tools open: the script that opens the socket did "
        "not arrive.",
    },
    "tool-alpn": {
        "general": "Compare with a run of the browser without the proxy: over HTTP/2 it may take another"
        " way.",
    },
    "tool-connect": {
        "general": "Let the client use HTTP/1.1 while it goes through this proxy, or compare with a run"
        " without it.",
    },
    "tool-host": {
        "general": "wsinspect run --host keep ... forwards Host unchanged.",
    },
    "tool-gap": {
        "general": "Make room on the disk; what is missing is opaque from there on.",
    },
    "buffering": {
        "nginx": "location /ws { proxy_buffering off; sub_filter_types none; gzip off; }",
        "npm": "proxy_buffering off;   # under Advanced",
        "apache": 'ProxyPass "/ws" "http://app/ws" upgrade=websocket flushpackets=on',
        "caddy": "reverse_proxy app:3000 { flush_interval -1 }",
        "k8s-ingress": 'nginx.ingress.kubernetes.io/proxy-buffering: "off"',
        "general": "Switch response buffering and rewriting off for the socket's path.",
    },
    "early-data": {
        "general": "Attach onmessage before the socket can open, or let the server wait for a first "
        "message of the client.",
    },
}
