"""Zones as they were: snapshots, what differs between two points, and what nobody here has changed."""
