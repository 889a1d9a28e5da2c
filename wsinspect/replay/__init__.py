"""A capture played again: as the client against a server, or as the server for clients.

`script` reads the steps of a recorded connection, `matching` compares messages, `client` and `server` do the
I/O. What goes out is what was recorded; what comes in is compared with the recording as it comes.
"""
