"""A real NSD: an authoritative server on a free port of 127.0.0.1, by UDP and TCP.

    with Nsd() as nsd:
        nsd.serve("example.com", '''
            @       MX  10 mail
            mail    A   192.0.2.1
        ''')
        ...                          # ask 127.0.0.1:nsd.port

It answers for its zones alone and refuses every other name; it never recurses. `serve` returns when the new zone is
served. SOA and NS of the apex are added to what is given, and a TTL of TTL_S.

Everything lies in one fresh directory, and it runs as whoever runs the tests.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from tests.services.process import Daemon, Server, ServiceFailed, free_port

TTL_S = 60
ANSWER_S = 2.0
SERVED_S = 10.0
POLL_S = 0.01


class Nsd(Server):
    """One NSD in a directory of its own, the same port for as long as the object lives."""

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="nsd-"))
        self._configuration = self.directory / "nsd.conf"
        self._serials: dict[str, int] = {}
        self._write("nsd.invalid", "")  # so that there is something it answers
        self._configure()
        self.daemon = Daemon(
            ["nsd", "-d", "-c", str(self._configuration)],
            ready=lambda: self._look("nsd.invalid", 1),
            log=self.directory / "log",
        )

    @property
    def resolver(self) -> str:
        """As the portal's setting names it."""
        return f"127.0.0.1:{self.port}"

    def serve(self, zone: str, records: str) -> None:
        """Serve a zone, or serve it anew; `records` are lines of a zone file. Raise ServiceFailed when NSD doesn't."""
        is_new = zone not in self._serials
        self._write(zone, records)
        if is_new:
            self._configure()
        self._control(*(["reconfig"] if is_new else ["reload", zone]))
        give_up = time.monotonic() + SERVED_S
        while True:
            try:
                self._look(zone, self._serials[zone])
                return
            except OSError as error:
                if time.monotonic() > give_up:
                    raise ServiceFailed(f"{zone} isn't served: {error}\n{self.daemon.log_tail()}") from error
                time.sleep(POLL_S)

    def spoil(self, zone: str) -> None:
        """Answer SERVFAIL for a zone that was never served: it is configured, and has no file."""
        if zone in self._serials:
            raise ServiceFailed(f"{zone} has been served already, and NSD keeps what it has")
        self._serials[zone] = 0
        self._configure()
        self._control("reconfig")
        query = dns.message.make_query(f"{zone}.", dns.rdatatype.SOA)
        give_up = time.monotonic() + SERVED_S
        while dns.query.udp(query, "127.0.0.1", ANSWER_S, self.port).rcode() != dns.rcode.SERVFAIL:
            if time.monotonic() > give_up:
                raise ServiceFailed(f"{zone} is no failure\n{self.daemon.log_tail()}")
            time.sleep(POLL_S)

    def _write(self, zone: str, records: str) -> None:
        serial = self._serials[zone] = self._serials.get(zone, 0) + 1
        lines = [line.strip() for line in records.splitlines()]  # a leading blank would mean "the name above"
        head = (
            f"$ORIGIN {zone}.\n$TTL {TTL_S}\n@ SOA ns.invalid. root.invalid. {serial} 60 60 60 60\n@ NS ns.invalid.\n"
        )
        (self.directory / f"{zone}.zone").write_text(head + "\n".join(lines) + "\n")

    def _configure(self) -> None:
        place = self.directory
        zones = "".join(f'zone:\n  name: "{zone}"\n  zonefile: "{place / zone}.zone"\n' for zone in self._serials)
        self._configuration.write_text(
            f"""
server:
  ip-address: 127.0.0.1@{self.port}
  username: ""
  zonesdir: "{place}"
  database: ""
  pidfile: "{place / "nsd.pid"}"
  xfrdfile: "{place / "xfrd.state"}"
  zonelistfile: "{place / "zone.list"}"
  xfrdir: "{place}"
  cookie-secret-file: ""
  hide-version: yes
  server-count: 1
  verbosity: 1
remote-control:
  control-enable: yes
  control-interface: "{place / "control"}"
{zones}"""
        )

    def _control(self, *words: str) -> None:
        argv = ["nsd-control", "-c", str(self._configuration), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServiceFailed(f"{argv}: {done.stdout}{done.stderr}\n{self.daemon.log_tail()}")

    def _look(self, zone: str, serial: int) -> None:
        """Raise OSError unless the zone is served with this serial, by UDP and by TCP."""
        for ask in (dns.query.udp, dns.query.tcp):
            query = dns.message.make_query(f"{zone}.", dns.rdatatype.SOA)
            try:
                answer = ask(query, "127.0.0.1", ANSWER_S, self.port)
            except (dns.exception.DNSException, EOFError) as error:
                raise OSError(f"{type(error).__name__}: {error}") from error
            found = [record.serial for rrset in answer.answer for record in rrset]
            if found != [serial]:
                raise OSError(f"{dns.rcode.to_text(answer.rcode())}, serial {found} and not {serial}")
