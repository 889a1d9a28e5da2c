"""A capture played again: as the client against a server, or as the server for clients.

`as_client` and `as_server` do the I/O, `socketio` speaks for Engine.IO's transport, and `common` has the
steps of a recorded connection, the comparison of messages and the report. What goes out is what was recorded;
what comes in is compared with the recording as it comes.
"""
