"""How the world reaches us and we it: one file a channel."""
