"""The demo: a chat server, two clients and a hop that strips `Upgrade`, seen through a real engine.

All of it is embedded and on loopback; nothing of it is used by another command.
"""
