"""Clients of other people's services that several rooms share, one module per service."""
