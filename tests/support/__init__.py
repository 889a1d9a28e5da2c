"""What tests share. Before writing a server, a client or a way to wait, look here.

The product as processes
    engine          `wsinspect run --headless --json`: its events, its stderr, its end; any command's JSON
    warm            engines, and commands that must not start, forked from a process that has imported all
    warm_command    a program `wsinspect` for shells and terminals, forked in the same way
    processes       what a test run started, what it left behind; children, memory
    transports      what asyncio has open after its loop was closed
    sql_guard       who makes the SQL that runs     every_case      very many small cases as one test
    documented      every command line that the documentation shows, and who types it
    browser_run     `wsinspect browser`            swarm, swarm_run    many connections, and what they cost
    tmux, terminal  a real terminal by keys, or a pseudo-terminal with times
    recorder_rig    the recorder alone, fed by a journal that a test writes
    size_limit      traffic into such a recorder under --max-capture-size, and its accounts
    full_disk       a small file system, and traffic that fills it
    stock_addons    the scripts of addons/ in a stock mitmdump
    replay_lab      `wsinspect replay --serve`     replay_echo         an echo server to measure against

Peers
    rawpeers, origin, script    ends of TCP and TLS that do exactly what a script says
    otlp            a collector's receiver of spans and metrics
    echo_engine     an echo server of `websockets` with an engine in front
    replay_peers    blocking raw servers and clients, in threads
    endings, client_endings     every way in which a connection ends
    socket_echo     an echo server on plain sockets
    small_servers   an echo of `websockets`, a server that never answers, pages over HTTP, a free port
    h2_client       HTTP/2 over TLS                h2_peers, h2_lab    both ends of it, by hand
    h2_servers      HTTP/2 by servers and hops: who carries WebSockets over it
    h2_asked        one of them asked over HTTP/2 and over HTTP/1.1: what a client was told
    h1_peers        HTTP/1.1 opposite to them
    talk_server, page_server, named_sites      pages with WebSockets
    ticking         a server that ticks, and its client
    configurations  configurations of hops, read as --config reads them, mended, and read again
    doctor_lab      servers that answer one thing each, and what the doctor says of them
    public_page     a page at a public address, in a network namespace, and the doctor on it
    marionette      a headless Firefox: pages, scripts in them, the browser's console
    relay_hop       a hop that ends WebSockets and begins new ones, as a process
    transparent_peers           both sides of the transparent proxy, in network namespaces

Real software
    apps, app_lab, app_capture, app_uvicorn    applications, and what each of them sees
    client_lab      libraries and bad habits that reconnect, and what they are judged to be
    ready_clients   a client that copes with each ready scenario, and one that does not
    hops            nginx, HAProxy, Apache, Caddy and Envoy
    hop_ends        what a hop does to idle and busy connections
    matrix_lab, matrix_hops     every hop with every cause of matrix_causes
    matrix_alone    the same peers at one tap without a hop, beside near neighbours
    beside          what may stand beside the first finding of a cell: no second opinion
    points          which findings and tests hold each point of what diagnoses promise
    matrix_odd      peers that break rules, in chains: the oddities of matrix_odds
    fix_hops, fix_checks        hops with a fault or its fix, and whether WebSockets work through them
    short_folder    for a browser's temporary files
    client_scripts  texts that scripts for other clients may break
    devtools, har_browsers      what Chromium and Firefox say of the same connection

The byte checker
    cases, frame_cases, handshake_cases, end_cases, random_cases    what is sent
    routes, mode_routes, forwarder                                  the ways between both sides

Captures and findings
    journals        made-up traffic as journal records, and the capture that comes of it
    filter_facts    a frame and its connection as filters ask about them
    chats, busy     WebSockets as such records; random captures; a chat
    replay_questions            a recorded client that asks, and who answers it
    streams         bytes for a frame reader, and what it made of them
    captures        a capture read with SQLite alone
    fleet           captures of several machines, as one data set
    decoding        payloads, and what is asked of every decoder
    faulted         a connection with faults, without sockets
    lossy_tcp       Linux's TCP over a line that loses packets
    finding_lab, hop_taps, sandwich_lab   real traffic through one tap or two, and what is found
    three_ways      the same peers at one tap, by two taps around a hop, and in two captures
    field_reports   what people reported, played again
    flows           WebSocket flows as mitmproxy makes and writes them
    packets         TCP connections, and TLS in them, as packets made by hand
    tshark          what tshark finds in a trace
    traces          such packets as a capture      h2_talk             HTTP/2 between two ends of a library
    report_pages    pages of reports, taken apart
    told            what was read of the WebSockets in a connection, as lines
    healthy         sessions that must be without findings
    control_lab     a control API over a minimal engine

Screens
    tui_pilot       the app without a terminal     tui_captures        captures row by row
    tui_parts       indexes, views and rows of the timeline, without a capture
    svg, tui_picture            snapshots, and the README's picture
    tui_pages       the pictures of docs/pictures  tui_states          pictures of every state, to look at

Small things
    bytes_of_frames frames as bytes, independent of our code
    certs           throw-away certificates        threaded_loop       an event loop in a thread
    examples        how many hypothesis tries
    fuzzing         damaged files one after the other
    sources         the program's own files, for rules that no linter has
    schemas         docs/schemas/ and what fits them
    har_check       HAR 1.2's demands              prometheus          its text format, strictly
"""
