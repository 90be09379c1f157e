"""Lanes on pgmq: put, work off, heartbeat, back off, bury."""
