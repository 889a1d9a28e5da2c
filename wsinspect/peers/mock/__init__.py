"""A server made of steps: `script` reads a file, `server` plays it, `schema` says what a file may hold."""
