"""Agents, their versions and their channel accounts."""
