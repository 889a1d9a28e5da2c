"""Caddy: the Caddyfile, read with its lines (`caddy adapt` keeps none), and its configuration in JSON."""
