"""One outbound message leaves, once, in order."""
