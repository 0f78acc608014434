"""What stands between a site and the world: a real TLS server with a cache, in front of the fleet's nginx.

It does what the sites' probes need of Cloudflare: ends TLS for every name, says by CF-Cache-Status what it did, asks
the origin with the tunnel's header fields, and answers from what it has while the origin is away, if told so.
"""

from __future__ import annotations

import datetime
import http.client
import http.server
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANSWER_S = 30.0


def certificate(directory: Path, names: Sequence[str], *, days: float = 60) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "public edge")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = directory / "edge.pem", directory / "edge.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, key_pem


@dataclass
class PublicEdge:
    """
    caches   keep pages, and answer from them
    says     whether CF-Cache-Status is there at all
    """

    origin_url: str
    directory: Path
    names: Sequence[str]
    days: float = 60
    caches: bool = False
    says: bool = True
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __enter__(self) -> PublicEdge:
        self.certificate, key = certificate(self.directory, self.names, days=self.days)
        edge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body, cache = edge.answer(self.headers["Host"], self.path)
                self.send_response(status)
                if edge.says:
                    self.send_header("CF-Cache-Status", cache)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base class's name
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_port}"

    def answer(self, host: str, path: str) -> tuple[int, bytes, str]:
        """Status, page, and what the edge says of its cache."""
        self.asked.append((host, path))
        page = f"{host}{urlsplit(path).path}"
        try:
            status, body = self._origin(host, path)
        except OSError:
            if self.caches and page in self.pages:
                return 200, self.pages[page], "STALE"
            return 522, b"<html>the origin is away</html>", "NONE"
        was_there = page in self.pages
        if self.caches and status == 200:
            self.pages[page] = body
        return status, body, "HIT" if self.caches and was_there else "MISS"

    def _origin(self, host: str, path: str) -> tuple[int, bytes]:
        parts = urlsplit(self.origin_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
        try:
            said = {"Host": host, "X-Forwarded-Proto": "https", "CF-Connecting-IP": "192.0.2.1", "CF-Ray": "0-NRT"}
            connection.request("GET", path, headers=said)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
