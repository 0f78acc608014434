"""The Worker's own routes, signed like every request between the two (wire.md): GET /status and POST /drain."""

from __future__ import annotations

from typing import Any

import httpx2

from kit.clock import Clock
from kit.signing import Key, signed_headers_without_body

STATUS_S = 30.0  # it lists the bucket
DRAIN_S = 600.0  # one call moves as many messages as one invocation may; each may take three minutes
MAX_ANSWER_BYTES = 1024**2

Json = dict[str, Any]


class WorkerError(Exception):
    """The Worker did not answer as it should; the text is one line and safe to show."""


class WorkerClient:
    """url   of the Worker, without a path"""

    def __init__(self, url: str, key: Key, *, clock: Clock) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._clock = clock

    async def status(self) -> Json:
        """Raise WorkerError."""
        return await self._ask("GET", "/status", timeout_s=STATUS_S)

    async def drain(self) -> Json:
        """Raise WorkerError."""
        return await self._ask("POST", "/drain", timeout_s=DRAIN_S)

    async def _ask(self, method: str, path: str, *, timeout_s: float) -> Json:
        headers = signed_headers_without_body(self._key, now=int(self._clock.now()), method=method, path=path)
        try:
            async with httpx2.AsyncClient(follow_redirects=False, timeout=timeout_s) as client:
                answer = await client.request(method, f"{self.url}{path}", headers=headers)
        except httpx2.TimeoutException:
            raise WorkerError(f"the Worker does not answer within {timeout_s:g} s ({self.url})") from None
        except httpx2.HTTPError as error:
            raise WorkerError(f"the Worker cannot be reached at {self.url} ({type(error).__name__})") from None
        if answer.status_code == 401:
            raise WorkerError(
                f"the Worker refuses our signature ({self.url}): it has another key, or the clocks differ by more than "
                "5 minutes; `homeport edge deploy` gives it the current key"
            )
        if answer.status_code != 200 or len(answer.content) > MAX_ANSWER_BYTES:
            raise WorkerError(f"the Worker answers HTTP {answer.status_code} ({self.url}{path})")
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise WorkerError(f"what answers at {self.url}{path} is not our Worker")
        return document
