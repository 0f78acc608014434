"""Zones as files, both ways: BIND, CSV, JSON."""
