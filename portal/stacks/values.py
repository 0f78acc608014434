"""The values of .env: unknown names, placeholders, and what cannot be meant. Pure, but for what a Stack has read."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator

from portal.settings import domain_name
from portal.stacks.findings import Finding, problem, warning
from portal.stacks.stack import Stack

PLACEHOLDER_DOMAINS = ("example.org", "example.com", "example.net", "example")  # RFC 2606
TAILSCALE = tuple(map(ipaddress.ip_network, ("100.64.0.0/10", "fd7a:115c:a1e0::/48")))  # its documentation, "IP pool"
SENDGRID = "smtp.sendgrid.net"


def names(stack: Stack) -> Iterator[Finding]:
    """.env itself: there, readable as Compose reads it, and with no name that nobody knows."""
    try:
        read = stack.dotenv
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        yield problem(".env", f"cannot be read: {reason}", "run this as the user who made it")
        return
    if read is None:
        yield problem(".env", "is missing", f"`homeport stack init {stack.name}` makes it from .env.example")
        return
    for mistake in read.mistakes:
        yield problem(".env", mistake, "put it right; Compose would not read what it seems to say")
    for name in read.values:
        if not stack.is_known(name):
            near = difflib.get_close_matches(name, stack.known, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else "remove it; .env.example has every setting"
            yield problem(name, "is no setting of this stack, so it does nothing", hint)
        elif name in stack.environ and stack.environ[name] != read.values[name]:
            yield warning(name, "is also set in this shell, which counts more than .env", f"unset {name}")


def hostname(stack: Stack) -> Iterator[Finding]:
    remedy = "set it in .env to the name that mail programs connect to"
    if not (given := stack.given("MAIL_HOSTNAME")):
        yield problem("MAIL_HOSTNAME", "is not set", remedy)
    elif (wrong := _not_a_domain(given)) is not None:
        yield problem("MAIL_HOSTNAME", wrong, remedy)


def domains(stack: Stack) -> Iterator[Finding]:
    remedy = "set it in .env to the domains whose mail comes here, separated by commas"
    parts = [part.strip() for part in stack.given("MAIL_DOMAINS").split(",") if part.strip()]
    if not parts:
        yield problem("MAIL_DOMAINS", "is not set", remedy)
    for part in parts:
        if (wrong := _not_a_domain(part)) is not None:
            yield problem("MAIL_DOMAINS", f"has {part!r}, which {wrong}", remedy)


def _not_a_domain(text: str) -> str | None:
    """What is wrong with a domain, as what follows its name in a sentence; None if nothing is."""
    try:
        name = domain_name(text)
    except ValueError:
        return "is no domain name"
    if not text.isascii():
        return f"has to be written as {name}"  # Postfix and Dovecot know no other form
    if any(name == placeholder or name.endswith(f".{placeholder}") for placeholder in PLACEHOLDER_DOMAINS):
        return "is still the example's"
    return None


def address(given: str, is_of_this_machine: Callable[[str], bool]) -> Iterator[Finding]:
    """Given TAILSCALE_IP, yield what is wrong with it: ports are published there and nowhere else."""
    name, remedy = "TAILSCALE_IP", "set it in .env to what `tailscale ip -4` prints"
    if not given:
        yield warning(name, "is not set, so only this machine itself reaches the mail server (127.0.0.1)", remedy)
        return
    try:
        ip = ipaddress.ip_address(given.removeprefix("[").removesuffix("]"))
    except ValueError:
        yield problem(name, "is no IP address", remedy)
        return
    if ip.version == 6 and not given.startswith("["):
        yield problem(name, "is an IPv6 address without brackets", f"write [{given}]")
        return
    if ip.is_unspecified:
        yield problem(name, "means every address of this machine, the public ones too", remedy)
    elif ip.is_global and not any(ip in network for network in TAILSCALE):
        yield problem(name, "is a public address: the mail server would be open to everybody", remedy)
    elif not is_of_this_machine(str(ip)):
        yield problem(
            name, "is no address of this machine, so no port can be published", f"start Tailscale, or {remedy}"
        )
    elif ip.is_loopback:
        yield warning(name, "is this machine's own, so no other device reaches the mail server", remedy)
    elif not any(ip in network for network in TAILSCALE):
        yield warning(name, "is not Tailscale's: every device of that network reaches the mail server", remedy)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535


def _is_relay(text: str) -> bool:
    try:
        domain_name(text)
    except ValueError:
        return False
    return True


# Form of the values that have one, where anybody set them: name -> (whether it is in order, what it must be).
FORMS: dict[str, tuple[Callable[[str], bool], str]] = {
    "MAIL_RELAY_HOST": (_is_relay, "a host name such as smtp.sendgrid.net"),
    "MAIL_RELAY_PORT": (_is_port, "a port such as 587"),
    "MAIL_DEFAULT_QUOTA": (
        lambda text: re.fullmatch(r"[1-9][0-9]{0,5}[MGT]", text) is not None,
        "a size such as 10G",
    ),
    "MAIL_SUBMISSION_RATE": (lambda text: re.fullmatch(r"[1-9][0-9]{0,5}", text) is not None, "a number of recipients"),
    "MAIL_DKIM": (lambda text: text in ("relay", "local"), "relay or local"),
    "MAIL_DKIM_SELECTOR": (lambda text: re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text) is not None, "a DNS label"),
    "MAIL_LOG_LEVEL": (lambda text: text in ("debug", "info", "warning", "error"), "debug, info, warning or error"),
    "MAIL_SPAM_SCANNER_DOWN": (lambda text: text in ("defer", "deliver"), "defer or deliver"),
    "BLOG_DB_BUFFER_POOL": (lambda text: re.fullmatch(r"[1-9][0-9]{0,5}M", text) is not None, "a size such as 256M"),
    "BLOG_REDIS_CACHE": (lambda text: re.fullmatch(r"[1-9][0-9]{0,5}mb", text) is not None, "a size such as 256mb"),
    **dict.fromkeys(
        ("BLOG_DB_MEMORY", "BLOG_REDIS_MEMORY", "BLOG_PHP_MEMORY"),
        (lambda text: re.fullmatch(r"[1-9][0-9]{0,5}[mg]", text) is not None, "a size such as 1g or 1536m"),
    ),
    "WP_CLI": (lambda text: re.fullmatch(r"none|[0-9]+(?:\.[0-9]+){2}", text) is not None, "a version such as 2.12.0"),
    "MAIL_CLAMAV_MEMORY": (lambda text: re.fullmatch(r"[1-9][0-9]{0,5}[mg]", text) is not None, "a size such as 2560m"),
}


def forms(stack: Stack) -> Iterator[Finding]:
    """Every other value that has a form, and ports: theirs, and each only once."""
    for name, (is_in_order, form) in FORMS.items():
        if (given := stack.given(name)) and not is_in_order(given):
            yield problem(name, f"is not {form}", "put it right in .env")
    taken: dict[str, str] = {}
    for name in stack.published:
        port = stack.value(name)
        if not _is_port(port):
            yield problem(name, "is no port", "set it in .env to a number from 1 to 65535")
        elif (other := taken.setdefault(port, name)) != name:
            yield problem(name, f"is {port}, as {other} is", "give each its own")


# Programs with a cache of a set size: its setting, that of all their memory, and the MiB that they need besides.
_CACHES = (("BLOG_DB_BUFFER_POOL", "BLOG_DB_MEMORY", 300), ("BLOG_REDIS_CACHE", "BLOG_REDIS_MEMORY", 64))


def memory(stack: Stack) -> Iterator[Finding]:
    """A cache that does not fit: its program is killed when it is full, not when it starts."""
    for cache, limit, besides in _CACHES:
        if not all(FORMS[name][0](stack.value(name)) for name in (cache, limit)):
            continue  # said by the check of forms
        if _mib(stack.value(cache)) + besides > _mib(stack.value(limit)):
            yield problem(
                limit,
                f"is {stack.value(limit)}, too little for {cache}, which is {stack.value(cache)}",
                f"leave {besides} MiB beside the cache, or make the cache smaller",
            )


def _mib(size: str) -> int:
    number = int(re.match(r"[0-9]+", size)[0])  # type: ignore[index]  # FORMS has been asked
    return number * (1024 if size.lower().endswith(("g", "gb")) else 1)


def relay(stack: Stack) -> Iterator[Finding]:
    """Where outgoing mail is handed to, and with what."""
    host = stack.value("MAIL_RELAY_HOST")
    if any(host == each or host.endswith(f".{each}") for each in PLACEHOLDER_DOMAINS):
        yield problem("MAIL_RELAY_HOST", "is still the example's", "set it to your relay, or leave it out for SendGrid")
    if stack.value("MAIL_RELAY_PORT") == "25":
        yield warning("MAIL_RELAY_PORT", "is 25, which most providers block and which is not for submission", "use 587")
    if host == SENDGRID and stack.value("MAIL_RELAY_USER") not in ("", "apikey"):
        yield warning("MAIL_RELAY_USER", "is not `apikey`, which is every SendGrid login's name", "leave it out")
    path = stack.secrets_dir / "sendgrid_api_key"
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return  # said by the check of secrets
    if host == SENDGRID and key and not key.startswith("SG."):
        yield warning(
            stack.shown(path), "does not look like SendGrid's, which begins with SG.", "see that it is the key"
        )
