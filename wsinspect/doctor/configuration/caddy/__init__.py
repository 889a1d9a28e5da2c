"""Caddy: the Caddyfile, read with its lines; `caddy adapt` keeps none."""
