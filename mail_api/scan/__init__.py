"""Scanners: what looks into a message before it is delivered."""
