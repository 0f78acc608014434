"""The portal as an operator runs it: `homeport portal migrate`, then `homeport portal serve`, as a process.

    with Portal(tmp_path) as portal:
        anna = portal.set_up()                       # the first administrator, logged in as a browser would be
        answer = anna.get("/api/audit")
        portal.run("audit", "list")                  # `homeport audit list` over the admin socket

`Browser` sends what a browser sends: Origin, Sec-Fetch-Site, the portal's own header, cookies.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from tests.services.process import Daemon, Service, free_port

HOMEPORT = str(Path(sys.executable).with_name("homeport"))
PASSWORD = "seven grey herons on one roof"  # of every user
ANSWER_S = 30.0
PREFIX = "HOMEPORT_"


class Browser(httpx2.Client):
    """One browser profile at one portal."""

    def __init__(self, url: str) -> None:
        super().__init__(
            base_url=url,
            headers={"Origin": url, "Sec-Fetch-Site": "same-origin", "X-CSRF": "1", "Content-Type": "application/json"},
            timeout=ANSWER_S,
            trust_env=False,
        )


class Portal(Service):
    """One portal in a directory of its own, the same port for as long as the object lives.

    settings   more HOMEPORT_PORTAL_*, by the name behind the prefix
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.directory = directory
        self.state_dir = directory / "portal"
        self.log = directory / "portal.log"
        self.settings = {
            "STATE_DIR": str(self.state_dir),
            "PUBLIC_URL": self.url,
            "LOG_LEVEL": "debug",
            **(settings or {}),
        }
        self.browsers: list[Browser] = []
        self.daemon = Daemon(
            [HOMEPORT, "portal", "serve", "--listen", f"127.0.0.1:{self.port}"],
            ready=self._answers,
            log=self.log,
            env=self.environment,
        )

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the process and of its operator's shell, without anybody else's settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return inherited | {f"HOMEPORT_PORTAL_{name}": value for name, value in self.settings.items()}

    def start(self) -> None:
        self.run("portal", "migrate")
        self.daemon.start()

    def stop(self) -> None:
        self.daemon.stop()

    def kill(self) -> None:
        self.daemon.kill()

    def close(self) -> None:
        for browser in self.browsers:
            browser.close()
        self.daemon.kill()

    def run(
        self, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `homeport ...` in the operator's shell, without a terminal."""
        return subprocess.run(
            [HOMEPORT, *arguments],
            env=self.environment | dict(environment or {}),
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def browser(self) -> Browser:
        """A fresh browser, closed with the portal."""
        browser = Browser(self.url)
        self.browsers.append(browser)
        return browser

    def set_up(self, name: str = "anna") -> Browser:
        """Make the first administrator with the link on the console; return her browser, logged in."""
        (*_, token) = re.findall(r"/setup#(\S+)", self.log.read_text())
        browser = self.browser()
        answer = browser.post("/api/setup", json={"token": token, "name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return browser

    def log_in(self, name: str) -> Browser:
        browser = self.browser()
        answer = browser.post("/api/login", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return browser

    def audit(self, **parameters: Any) -> list[dict[str, Any]]:
        """The newest audit rows, asked for over the admin socket."""
        transport = httpx2.HTTPTransport(uds=str(self.state_dir / "admin.sock"))
        with httpx2.Client(transport=transport, base_url="http://localhost", timeout=ANSWER_S) as client:
            entries: list[dict[str, Any]] = client.get("/api/audit", params=parameters).json()["entries"]
        return entries

    def _answers(self) -> None:
        try:
            httpx2.get(f"{self.url}/livez", timeout=ANSWER_S, trust_env=False).raise_for_status()
        except httpx2.HTTPError as error:
            raise OSError(str(error)) from error
