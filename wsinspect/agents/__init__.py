"""For programs that ask on somebody's behalf: bounded answers, and the server that gives them (MCP)."""
