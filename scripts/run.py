"""`make run`: Homeport's main job on this machine, without Docker, accounts or root.

Starts the mail processes with the Maildir transport under ./var/mail, makes a key on the first start, posts one signed
sample message, says where it was delivered, starts the portal with its broker, and runs until Ctrl-C. Everything is
stopped on every way out; a second run finds its keys, mail, queue and users again. PORT=N chooses another port than
8025 for the mail API, PORTAL_PORT=N another one than 8080 for the portal. Where no Docker engine answers, the portal
says so.

EDGE=1 puts the edge in front: the built Email Worker in workerd, with its cron and with bucket and lists under
./var/edge. The sample is then a raw letter that goes through it. EDGE_PORT=N chooses another port than 8787.

DEMO=1 gives the portal a Cloudflare that is made up (tests/fakes/cloudflare/demo.py), with sample zones, mail and a
tunnel. Its portal is one of its own, under ./var/demo/<its port>, which begins anew with each run, and says on every
page that this is a demonstration.
"""

from __future__ import annotations

import json
import os
import shutil
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
from urllib.parse import quote, urlencode

from kit.atomic import write_durably
from kit.signing import parse_keys

ROOT = Path(__file__).resolve().parent.parent
VAR = ROOT / "var" / "mail"
MAILDIR = VAR / "maildir"
HOMEPORT = Path(sys.executable).with_name("homeport")
PORTAL = ROOT / "var" / "portal"
DEMO = ROOT / "var" / "demo"
EDGE = ROOT / "var" / "edge"
LETTER = EDGE / "letter.eml"
NODE = ROOT / ".node" / "bin" / "node"
WORKER = ROOT / "stacks" / "mailserver" / "email-worker"
DOMAIN = "homeport.test"
START_S = 20.0
STOP_S = 30.0
RECEIVE_S = 60.0  # the Worker is done with a message within 28 s

# without Message-ID and Date: with one of these, posting it again would be a sender's repeat, which is delivered once
SAMPLE = f"""From: A newcomer <newcomer@example.org>
To: <you@{DOMAIN}>
Subject: A letter through the edge
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

This letter came to the Email Worker, which signed it and posted it to the mail API.
この手紙は Email Worker を通って届きました。
"""


def environment(portal_port: int = 8080, portal: Path = PORTAL) -> dict[str, str]:
    """The settings of this run; those of the caller's shell are for another one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}
    return inherited | {
        "HOMEPORT_MAIL_TRANSPORT": f"maildir://{quote(str(MAILDIR))}",
        "HOMEPORT_MAIL_STATE_DIR": str(VAR / "state"),
        "HOMEPORT_MAIL_KEYS_FILE": str(VAR / "keys"),
        "HOMEPORT_MAIL_HOSTNAME": "localhost",
        "HOMEPORT_MAIL_DOMAINS": DOMAIN,
        "HOMEPORT_MAIL_LOG_FORMAT": "text",
        "HOMEPORT_PORTAL_STATE_DIR": str(portal / "state"),
        "HOMEPORT_PORTAL_BROKER_SOCKET": str(portal / "broker" / "broker.sock"),
        "HOMEPORT_PORTAL_PUBLIC_URL": f"http://localhost:{portal_port}",
        "HOMEPORT_PORTAL_LOG_FORMAT": "text",
        "HOMEPORT_BROKER_LOG_FORMAT": "text",
    }


def main() -> int:
    port, portal_port, edge_port = port_from("PORT", 8025), port_from("PORTAL_PORT", 8080), port_from("EDGE_PORT", 8787)
    url, portal_url, edge_url = (f"http://127.0.0.1:{number}" for number in (port, portal_port, edge_port))
    has_edge, is_demo = (os.environ.get(name, "") not in ("", "0") for name in ("EDGE", "DEMO"))
    MAILDIR.mkdir(parents=True, exist_ok=True, mode=0o700)  # the transport never makes its own root
    if not (VAR / "keys").exists():
        subprocess.run([HOMEPORT, "mail", "keys", "new"], env=environment(), check=True)

    signal.signal(signal.SIGTERM, interrupt)
    check_port(port, "PORT=8026")
    check_port(portal_port, "PORTAL_PORT=8081")
    if has_edge:
        check_port(edge_port, "EDGE=1 EDGE_PORT=8788")
        prepare_edge(url)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in (("ingress", ["--listen", f"127.0.0.1:{port}"]), ("delivery", [])):
            processes[name] = subprocess.Popen(
                [HOMEPORT, "mail", name, *arguments], env=environment(), start_new_session=True
            )
        if has_edge:
            processes["edge"] = start_edge(edge_port)
        wait_until_alive(url, "/livez", processes)
        if has_edge:
            wait_until_alive(edge_url, "/retained", processes)
            post_letter(edge_url)
            explain_edge(edge_url, processes["ingress"].pid)
        else:
            post_sample(url)
        settings = environment(portal_port)
        if is_demo:
            processes["cloudflare"], cloudflare = start_cloudflare()
            settings = environment(portal_port, fresh_demo(portal_port)) | cloudflare
        processes |= start_portal(portal_port, settings)
        wait_until_alive(portal_url, "/livez", processes)
        explain(url, portal_port, is_demo=is_demo)
        watch(processes)
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)
        return 0
    except (subprocess.CalledProcessError, urllib.error.URLError, ConnectionError):
        print(
            "homeport: error: the sample message was not taken; what the processes said stands above", file=sys.stderr
        )
        return 1
    finally:
        stop(processes)


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def port_from(name: str, usual: int) -> int:
    return int(os.environ.get(name) or usual)


def check_port(port: int, other: str) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise SystemExit(
            f"homeport: error: port {port} cannot be used: {os.strerror(error.errno or 0)}; "
            f"another `make run`? Choose another one: make run {other}"
        ) from None


def prepare_edge(url: str) -> None:
    """Write what the edge needs to find the mail API and to sign for it."""
    for path in (NODE, WORKER / "dist" / "worker.js"):
        if not path.exists():
            raise SystemExit(f"homeport: error: {path.relative_to(ROOT)} is not there; make it with: make worker")
    key = parse_keys((VAR / "keys").read_text())[0]
    bindings = {"MAIL_API_URL": url, "MAIL_API_KEY_ID": key.key_id, "MAIL_API_KEY": key.secret.hex()}
    config = {"bindings": bindings, "persist": str(EDGE / "state")}
    EDGE.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(EDGE / "edge.json", json.dumps(config).encode(), mode=0o600)
    LETTER.write_bytes(SAMPLE.replace("\n", "\r\n").encode())


def fresh_demo(portal_port: int) -> Path:
    """Return where this demonstration keeps its state, with nothing in it of an earlier one on the same port. On
    another port another one may be running."""
    demo = DEMO / str(portal_port)
    try:
        if demo.exists():
            shutil.rmtree(demo)
    except OSError as error:
        raise SystemExit(f"homeport: error: {demo.relative_to(ROOT)} cannot be emptied: {error.strerror}") from None
    return demo


def start_cloudflare() -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start what stands in for Cloudflare, and return with it the settings that lead the portal there.

    It ends when its standard input does, so also when we are killed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.cloudflare"],
        env=environment(),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("homeport: error: the sample Cloudflare does not start; its reason stands above")
    keys = {"HOMEPORT_PORTAL_EDGE_KEYS_FILE": str(VAR / "keys")}
    return process, json.loads(line) | keys


def start_portal(port: int, settings: dict[str, str]) -> dict[str, subprocess.Popen[bytes]]:
    """Start the portal, and the broker, which is the only one of the two that could speak to Docker."""
    broker_socket = Path(settings["HOMEPORT_PORTAL_BROKER_SOCKET"])
    broker_socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    subprocess.run([HOMEPORT, "portal", "migrate"], env=settings, check=True, stdout=subprocess.DEVNULL)
    return {
        name: subprocess.Popen([HOMEPORT, "portal", *arguments], env=settings, start_new_session=True)
        for name, arguments in (
            ("broker", ["broker", "--socket", str(broker_socket)]),
            ("portal", ["serve", "--listen", f"127.0.0.1:{port}"]),
        )
    }


def start_edge(port: int) -> subprocess.Popen[bytes]:
    """The edge ends when its standard input does, so also when we are killed."""
    arguments = ["--config", str(EDGE / "edge.json"), "--port", str(port), "--cron"]
    return subprocess.Popen(
        [NODE, WORKER / "local" / "edge.mjs", *arguments],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until_alive(url: str, path: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        fail_if_ended(processes)
        try:
            with urllib.request.urlopen(url + path, timeout=1):  # noqa: S310 - our own loopback address
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


def post_letter(edge_url: str) -> None:
    before = set(letters())
    query = urlencode({"from": "newcomer@example.org", "to": f"you@{DOMAIN}"})
    with urllib.request.urlopen(  # noqa: S310 - our own loopback address
        f"{edge_url}/email?{query}", data=LETTER.read_bytes(), timeout=RECEIVE_S
    ) as answer:
        outcome = json.load(answer)
    if outcome["outcome"] != "ok" or outcome["reject"]:
        raise SystemExit(f"homeport: error: the Email Worker did not take the letter: {outcome}")
    new = [path.relative_to(ROOT) for path in letters() if path not in before]
    print(f"\nSample letter through the edge: {new[0] if new else 'it is retained, or waits in the queue'}")


def letters() -> list[Path]:
    return sorted(MAILDIR.glob(f"{DOMAIN}/you/new/*"))


def explain_edge(edge_url: str, ingress_pid: int) -> None:
    letter = LETTER.relative_to(ROOT)
    print(
        f"""
The edge takes raw messages on {edge_url}, as Cloudflare hands them to the Email Worker.
  another letter:    curl --data-binary @{letter} '{edge_url}/email?from=a@example.org&to=anyone@{DOMAIN}'
  what is retained:  curl '{edge_url}/retained?prefix=pending/'
Take the mail API away, and post another letter: after 20 s the edge has retained it.
  stop the mail API: kill -STOP {ingress_pid}
  and start it:      kill -CONT {ingress_pid}
  run the cron:      curl -X POST {edge_url}/scheduled
The cron drains what is retained; it runs every minute by itself.""",
    )


def explain(url: str, portal_port: int, *, is_demo: bool) -> None:
    homeport = HOMEPORT.relative_to(ROOT) if HOMEPORT.is_relative_to(ROOT) else HOMEPORT
    where = "" if url.endswith(":8025") else f" --url {url}"
    demo = "\nThis is a demonstration: its Cloudflare, with zones, mail and tunnel, is made up." if is_demo else ""
    print(
        f"""
Homeport takes signed mail on {url} and delivers it into var/mail/maildir/.
  another message:   {homeport} mail send-test --keys-file var/mail/keys --to anyone@{DOMAIN}{where}
  what happened:     {homeport} mail trace --state-dir var/mail/state anyone@{DOMAIN}
  what waits:        {homeport} mail queue list --state-dir var/mail/state
The portal is on http://localhost:{portal_port}; the first time, by the set-up link above.{demo}
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
        process.send_signal(signal.SIGCONT)  # somebody may have stopped it to see what the edge does
    for process in running:
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
