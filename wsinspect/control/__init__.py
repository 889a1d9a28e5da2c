"""The control API of a running engine: HTTP and JSON on loopback, behind a token; and its client.

`api` says what there is and does it, `openapi` describes it, `server` speaks HTTP, `client` calls it.
"""
