"""Errors, settings, clock, ids, crypto, the way out to the network, logs: no noun of the domain."""
