"""Browsers with a throw-away profile: which there are, how they are started, one run of one."""
