"""Socket.IO and Engine.IO in a replay: the transport's own packets are made live, the rest is recorded."""
