"""Conversation users and the addresses they write from."""
