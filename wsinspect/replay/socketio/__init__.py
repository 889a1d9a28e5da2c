"""Socket.IO and Engine.IO in a replay: what their transport says is of today, the rest is recorded."""
