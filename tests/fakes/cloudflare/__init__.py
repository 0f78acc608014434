"""Cloudflare's API on a real socket, for the official SDK. What is true of it, and why: README.md here."""

from tests.fakes.cloudflare.permissions import EVERY_PERMISSION, PERMISSIONS, Permission
from tests.fakes.cloudflare.server import CloudflareFake
from tests.fakes.cloudflare.state import State

__all__ = ["EVERY_PERMISSION", "PERMISSIONS", "CloudflareFake", "Permission", "State"]
