"""`make run`: Homeport's main job on this machine, without Docker, accounts or root.

Starts the mail processes with the Maildir transport under ./var/mail, makes a key on the first start, posts one signed
sample message, says where it was delivered, and runs until Ctrl-C. Everything is stopped on every way out; a second
run finds its keys, mail and queue again. PORT=N chooses another port than 8025.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var" / "mail"
MAILDIR = VAR / "maildir"
HOMEPORT = Path(sys.executable).with_name("homeport")
DOMAIN = "homeport.test"
START_S = 20.0
STOP_S = 30.0


def environment() -> dict[str, str]:
    """The settings of this run; those of the caller's shell are for another one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_MAIL_")}
    return inherited | {
        "HOMEPORT_MAIL_TRANSPORT": f"maildir://{quote(str(MAILDIR))}",
        "HOMEPORT_MAIL_STATE_DIR": str(VAR / "state"),
        "HOMEPORT_MAIL_KEYS_FILE": str(VAR / "keys"),
        "HOMEPORT_MAIL_HOSTNAME": "localhost",
        "HOMEPORT_MAIL_DOMAINS": DOMAIN,
        "HOMEPORT_MAIL_LOG_FORMAT": "text",
    }


def main() -> int:
    port = int(os.environ.get("PORT") or 8025)
    url = f"http://127.0.0.1:{port}"
    MAILDIR.mkdir(parents=True, exist_ok=True, mode=0o700)  # the transport never makes its own root
    if not (VAR / "keys").exists():
        subprocess.run([HOMEPORT, "mail", "keys", "new"], env=environment(), check=True)

    signal.signal(signal.SIGTERM, interrupt)
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise SystemExit(
            f"homeport: error: port {port} cannot be used: {os.strerror(error.errno or 0)}; "
            "another `make run`? Choose another one: make run PORT=8026"
        ) from None
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in (("ingress", ["--listen", f"127.0.0.1:{port}"]), ("delivery", [])):
            processes[name] = subprocess.Popen(
                [HOMEPORT, "mail", name, *arguments], env=environment(), start_new_session=True
            )
        wait_until_alive(url, processes)
        post_sample(url)
        explain(url)
        watch(processes)
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
        return 0
    except subprocess.CalledProcessError:
        print(
            "homeport: error: the sample message was not taken; what the processes said stands above", file=sys.stderr
        )
        return 1
    finally:
        stop(processes)


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def wait_until_alive(url: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        fail_if_ended(processes)
        try:
            with urllib.request.urlopen(f"{url}/livez", timeout=1):  # noqa: S310 - our own loopback address
                fail_if_ended(processes)  # somebody else may answer on a port that ours could not take
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise SystemExit(f"homeport: error: no answer from {url} within {START_S:.0f} s")


def post_sample(url: str) -> None:
    sent = subprocess.run(
        [HOMEPORT, "mail", "send-test", "--to", f"you@{DOMAIN}", "--url", url, "--json"],
        env=environment(),
        check=True,
        stdout=subprocess.PIPE,
    )
    receipt = json.loads(sent.stdout)
    files = [path.relative_to(ROOT) for path in MAILDIR.glob(f"{DOMAIN}/you/new/{receipt['message_id']}*")]
    print(f"\nSample message {receipt['status']}: {files[0] if files else 'it waits in the queue'}")


def explain(url: str) -> None:
    homeport = HOMEPORT.relative_to(ROOT) if HOMEPORT.is_relative_to(ROOT) else HOMEPORT
    where = "" if url.endswith(":8025") else f" --url {url}"
    print(
        f"""
Homeport takes signed mail on {url} and delivers it into var/mail/maildir/.
  another message:   {homeport} mail send-test --keys-file var/mail/keys --to anyone@{DOMAIN}{where}
  what happened:     {homeport} mail trace --state-dir var/mail/state anyone@{DOMAIN}
  what waits:        {homeport} mail queue list --state-dir var/mail/state
Ctrl-C stops everything.""",
        flush=True,
    )


def watch(processes: dict[str, subprocess.Popen[bytes]]) -> NoReturn:
    while True:
        fail_if_ended(processes)
        time.sleep(0.5)


def fail_if_ended(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise SystemExit(f"homeport: error: {name} ended (exit code {process.returncode}); its reason stands above")


def stop(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    running = [process for process in processes.values() if process.poll() is None]
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
