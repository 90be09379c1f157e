"""Self-hosted, multi-agent messaging: stored durably, answered once, in order."""
