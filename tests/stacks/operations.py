"""What an operator begins in the booted portal, and waits for."""

from __future__ import annotations

from typing import Any

from tests.services.homeport import eventually
from tests.services.portal import Browser


def begun(operator: Browser, path: str) -> str:
    """POST an act that takes its time; return the id of its operation."""
    answer = operator.post(path, json={})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(operator: Browser, operation: str, *, within_s: float = 120.0) -> dict[str, Any]:
    """The operation, once it runs no more."""

    def found() -> dict[str, Any] | None:
        now: dict[str, Any] = operator.get(f"/api/operations/{operation}").json()
        return None if now["state"] == "running" else now

    result: dict[str, Any] = eventually(found, within_s=within_s)
    return result
