"""RFC 6455 and RFC 7692 without I/O: bytes and times in, frames and messages out.

`stream.StreamDecoder` is the way in. Nothing in this package raises on what a peer sent: a fault is a code in
`Frame.violation` or `Message.problem`. The package imports the standard library and wsproto only, and neither
clocks nor sockets.
"""
