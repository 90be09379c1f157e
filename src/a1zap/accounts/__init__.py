"""Owners: sign-in, API keys, plans, meters and the keys that seal what is theirs."""
