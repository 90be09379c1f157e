"""Chats, their participants, messages and attachments; the turns that answered them."""
