"""The broker: the one process with the Docker socket, and the client through which rooms ask it (security.md 3.6)."""
