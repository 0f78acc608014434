"""moto's server: CloudWatch, SNS, Budgets as AWS answers them, over HTTP. Never for Object Lock, which it lets break.

    with Moto() as moto:
        moto.client("cloudwatch").put_metric_alarm(...)

It evaluates no alarm (`set_alarm_state` says what state one is in), sends no mail, and confirms every subscription at
once. All of AWS is one process; `reset` empties it.
"""

from __future__ import annotations

import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import boto3

from tests.services.process import Daemon, Server, free_port

ANSWER_S = 5.0
START_S = 60.0  # 2 s on an idle machine
ACCOUNT = "123456789012"  # moto's own


class Moto(Server):
    """One server in a directory of its own."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="moto-"))
        self.port = free_port()
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._session = boto3.session.Session(aws_access_key_id="key", aws_secret_access_key="secret")
        self._clients: dict[tuple[str, str], Any] = {}  # each takes 0.2 s to make
        self.daemon = Daemon(argv, ready=self._answers, log=self.directory / "log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.daemon.start(deadline_s=START_S)

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """boto3's, with credentials that moto does not look at."""
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = self._session.client(service, region_name=region, endpoint_url=self.url)
        return self._clients[key]

    def reset(self) -> None:
        """Forget everything."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=ANSWER_S).close()

    def _answers(self) -> None:
        urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=ANSWER_S).close()
