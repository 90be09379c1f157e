"""What happens to the unanswered messages of a chat: read, think, write."""
