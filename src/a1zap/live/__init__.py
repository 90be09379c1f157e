"""What is happening now: events of a chat, for whoever watches."""
