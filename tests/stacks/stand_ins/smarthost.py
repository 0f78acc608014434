"""In the place of SendGrid: an SMTP server that wants TLS and a login, and records what it was given.

Every message that was acknowledged with 250 lies as RECORD/NAME.json, complete before the acknowledgement:
{"tls", "login": [user, password], "helo", "mail_from", "rcpt_to": [...], "content": base64}. What is written in
RECORD/reply, such as `451 4.3.0 later` or `550 5.7.1 no`, is the answer to the next messages instead, and nothing is
recorded; without the file they are taken.

Runs alone in a container, so it is the standard library only. `python3 smarthost.py PORT CERTIFICATES RECORD`, where
CERTIFICATES has fullchain.pem and privkey.pem.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
import sys
from pathlib import Path

MAX_BYTES = 64 * 1024**2
SILENCE_S = 60.0


class Session:
    """One connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext, record: Path
    ) -> None:
        self.reader, self.writer, self.tls, self.record = reader, writer, tls, record
        self.login: list[str] | None = None
        self.helo = ""
        self.mail_from: str | None = None
        self.rcpt_to: list[str] = []

    @property
    def tls_version(self) -> str | None:
        secured = self.writer.get_extra_info("ssl_object")
        return secured.version() if secured else None

    async def say(self, *lines: str) -> None:
        code = lines[0][:3]
        text = [f"{code}-{line}" for line in (lines[0][4:], *lines[1:])]
        text[-1] = f"{code} {text[-1][4:]}"
        self.writer.write("".join(f"{line}\r\n" for line in text).encode())
        await self.writer.drain()

    async def hear(self) -> str:
        line = await asyncio.wait_for(self.reader.readline(), SILENCE_S)
        if not line:
            raise ConnectionError("the client went away")
        return line.decode("utf-8", "surrogateescape").rstrip("\r\n")

    async def run(self) -> None:
        await self.say("220 smarthost.test ESMTP")
        while True:
            verb, _, argument = (await self.hear()).partition(" ")
            match verb.upper():
                case "EHLO" | "HELO":
                    self.helo = argument
                    await self.say(
                        "250 smarthost.test", "8BITMIME", "AUTH PLAIN LOGIN" if self.tls_version else "STARTTLS"
                    )
                case "STARTTLS":
                    await self.say("220 2.0.0 go ahead")
                    await self.writer.start_tls(self.tls)
                case "AUTH":
                    await self.authenticate(argument)
                case "MAIL" if not (self.tls_version and self.login):
                    await self.say("530 5.7.0 TLS and a login first")
                case "MAIL":
                    self.mail_from, self.rcpt_to = address(argument), []
                    await self.say("250 2.1.0 ok")
                case "RCPT":
                    self.rcpt_to.append(address(argument))
                    await self.say("250 2.1.5 ok")
                case "DATA":
                    await self.take()
                case "RSET":
                    self.mail_from, self.rcpt_to = None, []
                    await self.say("250 2.0.0 ok")
                case "QUIT":
                    await self.say("221 2.0.0 bye")
                    return
                case _:
                    await self.say("250 2.0.0 ok" if verb.upper() == "NOOP" else "502 5.5.1 no such command")

    async def authenticate(self, argument: str) -> None:
        if not self.tls_version:
            await self.say("538 5.7.11 TLS first")
            return
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "PLAIN":
            if not initial:
                await self.say("334 ")
                initial = await self.hear()
            _, user, password = base64.b64decode(initial).decode().split("\0")
        else:
            await self.say("334 VXNlcm5hbWU6")
            user = base64.b64decode(await self.hear()).decode()
            await self.say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(await self.hear()).decode()
        self.login = [user, password]
        await self.say("235 2.7.0 welcome")

    async def take(self) -> None:
        await self.say("354 go ahead")
        lines = []
        while (line := await asyncio.wait_for(self.reader.readline(), SILENCE_S)) != b".\r\n":
            if not line:
                raise ConnectionError("the client went away")
            lines.append(line[1:] if line.startswith(b".") else line)
        reply = self.record / "reply"
        if reply.exists():
            await self.say(reply.read_text().strip())
            return
        document = {
            "tls": self.tls_version,
            "login": self.login,
            "helo": self.helo,
            "mail_from": self.mail_from,
            "rcpt_to": self.rcpt_to,
            "content": base64.b64encode(b"".join(lines)).decode(),
        }
        name = secrets.token_hex(8)
        part = self.record / f"{name}.part"
        part.write_text(json.dumps(document))
        part.rename(part.with_suffix(".json"))
        await self.say("250 2.0.0 taken")


def address(argument: str) -> str:
    """Of `FROM:<a@example.org> BODY=8BITMIME`."""
    return argument.partition("<")[2].partition(">")[0]


async def serve(port: int, certificates: Path, record: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates / "fullchain.pem", certificates / "privkey.pem")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Session(reader, writer, tls, record).run()
        except (OSError, ValueError) as error:
            print(f"ended: {error!r}", flush=True)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "0.0.0.0", port, limit=MAX_BYTES)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
