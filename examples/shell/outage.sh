#!/bin/sh
# An outage in front of a running server, with nothing but a shell and curl:
#     sh outage.sh ws://localhost:3000/chat
# Connect your client to the URL that is printed; after 3 s it is cut, and refused for 5 s. Then its story is printed.
set -eu

server=${1:?usage: outage.sh ws://HOST:PORT/PATH}
wsinspect=${WSINSPECT:-wsinspect}
folder=$(mktemp -d)
path=/$(printf %s "$server" | cut -d/ -f4-)
target=http${server#ws}
target=$(printf %s "$target" | cut -d/ -f1-3)

$wsinspect run --headless --json --listen 127.0.0.1:0 --reverse "$target" --capture "$folder/capture.db" >"$folder/events" &
proxy=$!
trap 'kill $proxy 2>/dev/null || true' EXIT
until grep -q '"event": *"ready"' "$folder/events"; do
    kill -0 $proxy || exit 3
    sleep 0.1
done

value() { # the first value of a JSON key in the ready event
    grep -m1 '"event": *"ready"' "$folder/events" | sed -n "s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p"
}
api=$(value url)
token=$(cat "$(value token_file)")
call() { # method, path, body
    curl -fsS -X "$1" -H "Authorization: Bearer $token" -H "Content-Type: application/json" "$api$2" ${3:+-d "$3"}
}

echo "connect to ws://127.0.0.1:$(value port)$path"
until grep -q '"event": *"open"' "$folder/events"; do sleep 0.1; done
call PUT /v1/scenario '{"version": 1, "start": "now",
    "rules": [{"name": "outage", "kind": "refuse", "status": 503, "armed": false}],
    "phases": [{"for": "3s"}, {"do": {"kind": "abort"}}, {"for": "5s", "rules": ["outage"]}, {"for": "5s"}]}' >/dev/null
sleep "${OUTAGE_SECONDS:-14}"
kill $proxy
wait $proxy || true
$wsinspect show "$folder/capture.db" --sessions
