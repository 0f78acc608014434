"""The zones of a fake account as the DNS would tell them: a small authoritative server on 127.0.0.1, over UDP.

For the demonstration, where the resolvers of the world know nothing of its zones. Tests of what depends on the DNS talk
to a real server instead (tests/services/nsd.py).
"""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator, Mapping

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype

from tests.fakes.cloudflare.state import Record, State

_PROXY = {"A": "203.0.113.1", "AAAA": "2001:db8:ffff::1"}  # where Cloudflare answers for proxied names
_USUAL_TTL_S = 300


@contextlib.contextmanager
def serving(state: State, elsewhere: Mapping[tuple[str, str], str] | None = None) -> Iterator[int]:
    """Answer for the zones of `state`, as they are at each question, and return the port.

    elsewhere   (name, type) -> content: what other people's zones say
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, socket = self.request
            with contextlib.suppress(dns.exception.DNSException):  # what cannot be read gets no answer
                socket.sendto(answer(state, elsewhere or {}, data), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def answer(state: State, elsewhere: Mapping[tuple[str, str], str], data: bytes) -> bytes:
    """Given a question as it is on the wire, return the answer as it goes there."""
    query = dns.message.from_wire(data)
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA | dns.flags.RA
    question = query.question[0]
    name, type_ = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
    found = [told for record in _records(state, name) for told in _told(record)]
    found += [(kind, _USUAL_TTL_S, content) for (owner, kind), content in elsewhere.items() if owner == name]
    if not found and not any(record.name.endswith(f".{name}") for record in _all(state)):
        response.set_rcode(dns.rcode.NXDOMAIN)
    wanted = [each for each in found if each[0] == type_] or [each for each in found if each[0] == "CNAME"]
    for kind, ttl, content in wanted:
        what = dns.rdatatype.from_text(kind)
        told = dns.rdata.from_text(question.rdclass, what, content, origin=dns.name.root, relativize=False)
        response.find_rrset(response.answer, question.name, question.rdclass, what, create=True).add(told, ttl)
    return response.to_wire(max_size=65_000)


def _all(state: State) -> Iterator[Record]:
    for zone in state.zones.values():
        yield from zone.records


def _records(state: State, name: str) -> list[Record]:
    return [record for record in _all(state) if record.name == name]


def _told(record: Record) -> list[tuple[str, int, str]]:
    """Type, TTL and content of what is answered for a record, as a zone file has them."""
    ttl = _USUAL_TTL_S if record.ttl == 1 else record.ttl
    if record.proxied:
        return [(kind, ttl, address) for kind, address in _PROXY.items()]
    content = record.content
    if record.type == "TXT" and not content.startswith('"'):
        content = '"{}"'.format(content.replace("\\", "\\\\").replace('"', '\\"'))
    return [(record.type, ttl, content if record.priority is None else f"{record.priority} {content}")]
