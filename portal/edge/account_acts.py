"""Acts on what belongs to the account: bucket, KV namespace, Worker with route and cron."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from portal.edge import live, recipients
from portal.edge.acts import Acts, Table
from portal.edge.desired import COMPATIBILITY_DATE, CRON, MODULE_NAME, Desired, version_tag
from portal.edge.ownership import Kind
from portal.edge.removal import OWN_PREFIXES
from portal.edge.steps import Act, Step
from portal.integrations.cloudflare import Cloudflare, Conflict, NotFound

Json = dict[str, Any]
OBJECTS_PER_PAGE = 1000


@dataclass(frozen=True, slots=True)
class AccountActs(Acts):
    """desired   None when everything is removed"""

    desired: Desired | None

    def table(self) -> Table:
        return {
            (Kind.BUCKET, Act.CREATE): self._create_bucket,
            (Kind.BUCKET, Act.ADOPT): self._adopt,
            (Kind.BUCKET, Act.REMOVE): self._remove_bucket,
            (Kind.LISTS, Act.REMOVE): self._remove_lists,
            (Kind.NAMESPACE, Act.CREATE): self._create_namespace,
            (Kind.NAMESPACE, Act.ADOPT): self._adopt,
            (Kind.NAMESPACE, Act.REMOVE): self._remove_namespace,
            (Kind.SUBDOMAIN, Act.CREATE): self._create_subdomain,
            (Kind.WORKER, Act.CREATE): self._upload,
            (Kind.WORKER, Act.CHANGE): self._upload,
            (Kind.WORKER, Act.ADOPT): self._adopt,
            (Kind.WORKER, Act.REMOVE): self._remove_worker,
            (Kind.ROUTE, Act.CREATE): self._create_route,
            (Kind.CRON, Act.CREATE): self._set_cron,
            (Kind.CRON, Act.CHANGE): self._set_cron,
        }

    async def _create_bucket(self, step: Step) -> None:
        self.intend(step)
        await self._make(
            step,
            self.cf.change("r2.buckets.create", name=step.name, settled=lambda: live.bucket_named(self.cf, step.name)),
        )
        self.made(step)

    async def _create_namespace(self, step: Step) -> None:
        self.intend(step)
        found = await self._make(
            step,
            self.cf.change(
                "kv.namespaces.create", title=step.name, settled=lambda: live.namespace_titled(self.cf, step.name)
            ),
        )
        self.made(step, id=found["id"])

    async def _make(self, step: Step, creation: Awaitable[Json]) -> Json:
        """A creation that finds its name taken did not make what is there: nothing of it may be recorded as ours."""
        try:
            return await creation
        except Conflict:
            self.forget(step)
            raise

    async def _adopt(self, step: Step) -> None:
        self.intend(step)
        self.made(step, is_adopted=True)

    async def _create_subdomain(self, step: Step) -> None:
        self.intend(step)

        async def settled() -> str | None:
            return await live.account_subdomain(self.cf)

        await self.cf.change("workers.subdomains.update", subdomain=step.name, settled=settled)
        self.made(step)

    async def _upload(self, step: Step) -> None:
        desired = self.desired
        assert desired is not None
        if self.owned.find(step.kind, step.zone, step.name) is None:
            self.intend(step)
        namespace = await live.namespace_titled(self.cf, desired.namespace)
        if namespace is None:
            raise NotFound(f"the KV namespace {desired.namespace} is gone; run the command again")
        upload = f"upload-{secrets.token_hex(4)}"  # tells this upload from an earlier one of the same content
        # In a thread, since it takes its time; before the upload, so that nothing comes between that and its record.
        digests = await asyncio.to_thread(self.owned.digests_of, desired.secrets)

        async def settled() -> Json | None:
            script = await live.script_named(self.cf, step.name)
            return script if script and upload in (script.get("tags") or []) else None

        await self.cf.change(
            "workers.scripts.update",
            step.name,
            metadata={
                "main_module": MODULE_NAME,
                "compatibility_date": COMPATIBILITY_DATE,
                "tags": [self.owned.marker, version_tag(desired.version), upload],
                "bindings": [_uploaded(name, desired, namespace["id"]) for name in desired.bindings],
                "observability": {"enabled": True},
            },
            files=[(MODULE_NAME, desired.module, "application/javascript+module")],
            settled=settled,
        )
        self.made(step)
        self.owned.remember_digests(digests)

    async def _create_route(self, step: Step) -> None:
        async def settled() -> Json | None:
            found: Json = await self.cf.read("workers.scripts.subdomain.get", step.name)
            return found if found.get("enabled") else None

        await self.cf.change(
            "workers.scripts.subdomain.create", step.name, enabled=True, previews_enabled=False, settled=settled
        )

    async def _set_cron(self, step: Step) -> None:
        async def settled() -> tuple[str, ...] | None:
            crons = await live.crons_of(self.cf, step.name)
            return crons if crons == (CRON,) else None

        await self.cf.change("workers.scripts.schedules.update", step.name, body=[{"cron": CRON}], settled=settled)

    async def _remove_namespace(self, step: Step) -> None:
        async def settled() -> bool | None:
            return True if await live.namespace_titled(self.cf, step.name) is None else None

        await self.gone(self.cf.change("kv.namespaces.delete", step.id, settled=settled))
        self.forget(step)

    async def _remove_lists(self, step: Step) -> None:
        """Those that the step names and those that are listed: KV may list late what was written a moment ago."""
        namespace = await live.namespace_titled(self.cf, step.name)
        if namespace is None:
            return
        id_ = namespace["id"]
        listed = await self.cf.read_pages("kv.namespaces.keys.list", id_, prefix=recipients.KEY_PREFIX)
        for key in sorted({*step.content, *(each["name"] for each in listed)}):
            settled = functools.partial(_is_value_gone, self.cf, id_, key)
            await self.gone(self.cf.change("kv.namespaces.values.delete", key, namespace_id=id_, settled=settled))

    async def _remove_worker(self, step: Step) -> None:
        """Not while there is mail that only it delivers, which may have come since the plan was made."""
        for thing in self.owned:
            if thing.kind is Kind.BUCKET and (mail := await self._mail_in(thing.name)):
                raise Conflict(
                    f"mail has come since the plan was made ({len(mail)} objects in the bucket {thing.name}): Worker, "
                    "KV namespace and bucket stay. `homeport edge drain` delivers it; then run the command again"
                )

        async def settled() -> bool | None:
            return True if await live.script_named(self.cf, step.name) is None else None

        await self.gone(self.cf.change("workers.scripts.delete", step.name, settled=settled))
        self.forget(step)
        self.owned.remember_digests({})

    async def _remove_bucket(self, step: Step) -> None:
        """Empty it of what is no mail, then remove it. What came in the meantime makes Cloudflare refuse, rightly."""
        objects = await bucket_keys(self.cf, step.name)
        if foreign := _mail_among(objects):
            raise Conflict(
                f"the bucket {step.name} holds {len(foreign)} objects that are not ours to delete, and stays"
            )
        for number, key in enumerate(objects, 1):
            if number % 100 == 0:
                self.say(f"removed {number} of {len(objects)} state objects")
            settled = functools.partial(_is_key_gone, self.cf, step.name, key)
            await self.gone(self.cf.change("r2.buckets.objects.delete", key, bucket_name=step.name, settled=settled))

        async def is_gone() -> bool | None:
            return True if await live.bucket_named(self.cf, step.name) is None else None

        await self.gone(self.cf.change("r2.buckets.delete", step.name, settled=is_gone))
        self.forget(step)

    async def _mail_in(self, bucket: str) -> list[str]:
        try:
            return _mail_among(await bucket_keys(self.cf, bucket))
        except NotFound:
            return []


async def bucket_keys(cf: Cloudflare, bucket: str, prefix: str = "") -> list[str]:
    """The keys of a bucket, all of them."""
    query = {"prefix": prefix} if prefix else {}
    found = await cf.read_pages("r2.buckets.objects.list", bucket, per_page=OBJECTS_PER_PAGE, extra_query=query)
    return [each["key"] for each in found]


def _mail_among(keys: list[str]) -> list[str]:
    """What the Worker keeps for others: mail, and whatever we do not know."""
    return [key for key in keys if not key.startswith(OWN_PREFIXES)]


async def _is_value_gone(cf: Cloudflare, namespace_id: str, key: str) -> bool | None:
    try:
        await cf.read_bytes("kv.namespaces.values.get", key, namespace_id=namespace_id)
    except NotFound:
        return True
    return None


async def _is_key_gone(cf: Cloudflare, bucket: str, key: str) -> bool | None:
    return True if key not in await bucket_keys(cf, bucket, key) else None


def _uploaded(name: str, desired: Desired, namespace_id: str) -> Json:
    """A binding as the upload has it: with the namespace's id, and with the secret's value."""
    binding = dict(desired.bindings[name])
    if binding["type"] == "kv_namespace":
        binding = {"type": binding["type"], "namespace_id": namespace_id}
    if binding["type"] == "secret_text":
        binding["text"] = desired.secrets[name]
    return {"name": name, **binding}
