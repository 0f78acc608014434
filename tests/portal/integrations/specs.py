"""Sites to be rendered."""

from __future__ import annotations

import hashlib
from typing import Any

from portal.integrations.php_settings import PhpSettings
from portal.integrations.site_spec import SiteSpec


def password_of(name: str) -> str:
    return f"password-of-{name}"


def site(name: str, number: int = 0, *hostnames: str, **more: Any) -> SiteSpec:
    """A site whose name, user and password tell it from others."""
    digest = hashlib.sha256(password_of(name).encode()).hexdigest()
    php = more.pop("php", PhpSettings(max_children=2, memory_limit_mib=64))
    return SiteSpec(name, hostnames or (f"{name}.test",), 20_000 + number, php, digest, **more)
