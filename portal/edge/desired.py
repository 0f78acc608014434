"""What shall be at Cloudflare, from the settings, the keys file, the recipients key and the built Worker. Reads files.

A binding is Cloudflare's metadata for it, without `name`. Secret ones carry no value here: values are in `secrets`,
by name, and are joined only in the request that uploads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.signing import Key, KeysError, parse_keys
from portal.settings import EdgeSettings

WORKER_PATH = Path("stacks/mailserver/email-worker/dist/worker.js")
MODULE_NAME = "worker.js"
COMPATIBILITY_DATE = "2026-07-01"
CRON = "* * * * *"
RECIPIENTS_KEY = "RECIPIENTS_KEY"
MAX_MODULE_BYTES = 10 * 1024**2  # far above what we build; Workers "Limits": 3 MB compressed on the free plan
VERSION_CHARACTERS = 12  # of the module's SHA-256

Binding = Mapping[str, Any]


class NotReady(Exception):
    """Something that must be there before the edge can be planned is not; the text says what makes it."""


@dataclass(frozen=True, slots=True)
class Desired:
    """Shapes without ids: a KV namespace is named by its title here.

    zones       the settings' and the added ones
    caught      those with one catch-all rule each; in the others each of `addresses` has a rule
    is_routed   whether the Worker shall have its address under workers.dev
    """

    zones: tuple[str, ...]
    caught: frozenset[str]
    addresses: tuple[str, ...]
    script: str
    bucket: str
    namespace: str
    module: bytes = field(repr=False)
    bindings: Mapping[str, Binding]
    secrets: Mapping[str, str] = field(repr=False)
    is_routed: bool

    @property
    def version(self) -> str:
        return version_of(self.module)

    def addresses_in(self, zone: str) -> tuple[str, ...] | None:
        """The addresses of a zone that get a rule each; None: every address is taken, by its catch-all."""
        if zone in self.caught:
            return None
        return tuple(address for address in self.addresses if address.endswith(f"@{zone}"))


def version_of(module: bytes) -> str:
    return hashlib.sha256(module).hexdigest()[:VERSION_CHARACTERS]


def version_tag(version: str) -> str:
    """The tag by which a Worker at Cloudflare tells what was uploaded."""
    return f"version-{version}"


def build(settings: EdgeSettings, recipients_key: bytes, *, added_zones: Collection[str] = ()) -> Desired:
    """`added_zones`: of edge.json, beside those of the settings. Raise NotReady."""
    zones = tuple(dict.fromkeys((*settings.edge_zones, *added_zones)))
    if not zones:
        raise NotReady(
            f"there is no domain yet: `homeport domain add` adds one, or {settings.variable('edge_zones')} names them"
        )
    key = signing_key(settings)
    module = worker_module(settings)
    plain = {
        "MAIL_API_URL": settings.edge_mail_api_url,
        "MAIL_API_KEY_ID": key.key_id,
        "WATCHDOG_MINUTES": str(settings.edge_watchdog_minutes),
        "RECIPIENTS_MAX_AGE_S": str(settings.edge_recipients_max_age_s),
        "POISON_LIMIT": str(settings.edge_poison_limit),
        "SUBREQUESTS": str(settings.edge_subrequests),
        "WORKER_VERSION": version_of(module),
    }
    secrets = {"MAIL_API_KEY": key.secret.hex(), RECIPIENTS_KEY: recipients_key.hex()}
    if settings.edge_access_client_id and settings.edge_access_client_secret:
        secrets["ACCESS_CLIENT_ID"] = settings.edge_access_client_id
        secrets["ACCESS_CLIENT_SECRET"] = settings.edge_access_client_secret.get_secret_value()
    if settings.edge_alert_webhook:
        secrets["ALERT_WEBHOOK"] = settings.edge_alert_webhook.get_secret_value()
    bindings: dict[str, Binding] = {
        "RETAINED": {"type": "r2_bucket", "bucket_name": settings.edge_bucket},
        "RECIPIENTS": {"type": "kv_namespace", "title": settings.edge_namespace},
    }
    if settings.edge_alert_mail_from and settings.edge_alert_mail_to:
        plain |= {"ALERT_MAIL_FROM": settings.edge_alert_mail_from, "ALERT_MAIL_TO": settings.edge_alert_mail_to}
        bindings["ALERT_MAIL"] = {"type": "send_email", "destination_address": settings.edge_alert_mail_to}
    bindings |= {name: {"type": "plain_text", "text": text} for name, text in plain.items()}
    bindings |= {name: {"type": "secret_text"} for name in secrets}
    return Desired(
        zones=zones,
        caught=frozenset(zones) - frozenset(settings.edge_zones if settings.edge_addresses else ()),
        addresses=settings.edge_addresses,
        script=settings.edge_name,
        bucket=settings.edge_bucket,
        namespace=settings.edge_namespace,
        module=module,
        bindings=bindings,
        secrets=secrets,
        is_routed=settings.edge_worker_url is None,
    )


def signing_key(settings: EdgeSettings) -> Key:
    """The Worker's key: the first of the mail API's keys file. Raise NotReady."""
    path = settings.edge_keys_file
    try:
        return parse_keys(path.read_text(encoding="utf-8-sig"))[0]
    except FileNotFoundError:
        raise NotReady(f"there is no keys file at {path}; `homeport mail keys new` makes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotReady(f"the keys file {path} cannot be read ({type(error).__name__})") from None
    except KeysError as error:
        raise NotReady(f"{path}: {error}") from None


def worker_module(settings: EdgeSettings) -> bytes:
    """The built Worker, from EDGE_WORKER_FILE or from the checkout that this module belongs to. Raise NotReady."""
    path = settings.edge_worker_file or Path(__file__).parents[2] / WORKER_PATH
    try:
        module = path.read_bytes()
    except OSError:
        raise NotReady(
            f"there is no built Worker at {path}; `make worker` builds it, "
            f"{settings.variable('edge_worker_file')} names another place"
        ) from None
    if not 0 < len(module) <= MAX_MODULE_BYTES:
        raise NotReady(f"{path} is no Worker: it has {len(module)} bytes")
    return module
