"""A sync in a process of its own that dies by SIGKILL at a chosen call: `python -m tests.backup.vault.syncing JSON`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from backup.points import PointId
from backup.settings import VaultSettings
from backup.signing import Signer
from backup.vault.known import Known
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.seal import SealedPoint
from backup.vault.sync import sync

ACTS = ("put", "head", "extend")


class Mortal(S3ObjectLock):
    """Dies before or after the call of this number to this act, among those whose key holds `part`."""

    def __init__(self, settings: VaultSettings, *, act: str, at: int, when: str, part: str) -> None:
        super().__init__(settings, "uploader")
        lock = threading.Lock()
        left = at

        def dying(name: str) -> Any:
            real = getattr(self, name)

            def call(key: str, *arguments: Any, **more: Any) -> Any:
                nonlocal left
                is_it = False
                if name == act and part in key:
                    with lock:
                        is_it, left = left == 0, left - 1
                if is_it and when == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(key, *arguments, **more)
                if is_it:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return call

        for name in ACTS:
            setattr(self, name, dying(name))


def main(argument: str) -> None:
    told = json.loads(argument)
    settings = VaultSettings.model_validate(told["settings"])
    points = [
        SealedPoint(PointId.parse(point), datetime.fromisoformat(started_at), snapshot)
        for point, started_at, snapshot in told["points"]
    ]
    with Known(Path(told["known"])) as known:
        sync(
            Mortal(settings, **told["death"]),
            Path(told["repository"]),
            known,
            Signer.read(Path(told["key"])),
            points=points,
            point=points[-1].point,
            settings=settings,
            host="host",
        )


if __name__ == "__main__":
    main(sys.argv[1])
