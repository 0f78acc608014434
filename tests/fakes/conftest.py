"""A Cloudflare of each test's own, and the official client that talks to it, strict about every answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from cloudflare import APIStatusError, AsyncCloudflare

from tests.fakes.cloudflare import CloudflareFake

Connect = Callable[[str], AsyncCloudflare]

# The calls of this SDK that warn of themselves; they are tried like all others.
DEPRECATED = "ignore:.*deprecated:DeprecationWarning"


@pytest.fixture
def cf() -> Iterator[CloudflareFake]:
    with CloudflareFake(zones=["home.example", "two.example"]) as fake:
        yield fake


@pytest.fixture
async def connect(cf: CloudflareFake) -> AsyncIterator[Connect]:
    """Return a function from a token to a client that never repeats a request by itself."""
    clients: list[AsyncCloudflare] = []

    def new(token: str) -> AsyncCloudflare:
        client = AsyncCloudflare(
            api_token=token, base_url=cf.url, max_retries=0, timeout=10, _strict_response_validation=True
        )
        clients.append(client)
        return client

    yield new
    for client in clients:
        await client.close()


@pytest.fixture
def client(cf: CloudflareFake, connect: Connect) -> AsyncCloudflare:
    """A client with every permission."""
    return connect(cf.token())


@pytest.fixture
def account(cf: CloudflareFake) -> str:
    return cf.account_id


@pytest.fixture
def home(cf: CloudflareFake) -> str:
    """The id of the zone home.example."""
    return cf.zone_id("home.example")


def ask(cf: CloudflareFake, token: str | None, method: str, path: str, **request: Any) -> httpx.Response:
    """Send a request that the SDK wouldn't send, or whose answer it wouldn't show."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    # verify: there is no TLS here, and reading the authorities takes longer than the request
    return httpx.request(method, cf.url + path, headers=headers, timeout=10, verify=False, **request)


def code_of(error: BaseException) -> int:
    """Return Cloudflare's error code, that of the answer's first error."""
    assert isinstance(error, APIStatusError)
    code = error.errors[0].code
    assert code is not None
    return code
