"""One inbound message becomes durable."""
