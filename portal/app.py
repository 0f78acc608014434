"""The portal's application: the one place where its parts are wired.

    app = create_app(settings, Adapters.of(settings))

`create_app` opens nothing and reads no file but the built front end, so that the application can be described without
starting (`homeport portal openapi`). The parts are made when it starts and closed, in reverse, when it ends:
`request.app.state.portal` is the `Portal` that holds them.

A route whose signature names no act of the policy table, and which is not in the list of public routes, keeps the
application from being built.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI

from kit import health
from kit.clock import Clock, SystemClock, now_utc
from kit.problem import NotFound, all_problems
from portal import idempotency
from portal.audit.routes import router as audit_routes
from portal.auth.permissions import check_routes
from portal.auth.routes import router as auth_routes
from portal.auth.sealing import Seal
from portal.auth.service import Auth
from portal.auth.site import Site
from portal.backups.routes import router as backups_routes
from portal.backups.service import Backups
from portal.blog import ROUTERS as BLOG_ROUTERS
from portal.blog import Blog
from portal.broker.client import Broker
from portal.containers.plan_routes import router as container_plan_routes
from portal.containers.routes import router as containers_routes
from portal.containers.run_state import RunState
from portal.containers.service import Containers
from portal.dashboard.probes import DatabaseProbe
from portal.dashboard.routes import router as dashboard_routes
from portal.databases.console.service import Console
from portal.databases.service import DatabasesRoom
from portal.db import Database
from portal.dns.posture.routes import router as posture_routes
from portal.dns.posture.service import Posture
from portal.dns.routes import router as dns_routes
from portal.dns.service import DnsRoom
from portal.dns.tunnel.routes import router as tunnel_routes
from portal.dns.tunnel.service import Tunnels
from portal.edge.ownership import marker_of
from portal.edge.uses import EdgeUses
from portal.idempotency import Idempotency
from portal.integrations.cloudflare import Cloudflare
from portal.operations import plans, records
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.routes import router as operations_routes
from portal.operations.runner import Runner
from portal.probes import Readings, UsedBy, Uses
from portal.recipes.fleet_update.service import FleetUpdates
from portal.recipes.mail_domain.routes import router as mail_domain_routes
from portal.recipes.mail_domain.service import MailDomains
from portal.recipes.site.service import SiteRecipes
from portal.recipes.site_mail.service import SiteMail
from portal.scheduler import Job, Scheduler
from portal.settings import PortalSettings
from portal.web import door, openapi
from portal.web.front_end import FrontEnd
from portal.wordpress.probes import SiteProbes
from portal.wordpress.service import WordPress

MAX_BODY_BYTES = 1024**2  # JSON only; a route that takes more says so itself
OPERATIONS_DAYS = 365  # then only the audit knows of them


@dataclass(frozen=True, slots=True)
class Adapters:
    """What reaches out of this process, and time. A test gives its own."""

    broker: Broker
    clock: Clock = field(default_factory=SystemClock)
    cloudflare: Cloudflare | None = None  # None: its token or its account is not set

    @classmethod
    def of(cls, settings: PortalSettings) -> Adapters:
        return cls(broker=Broker(settings.broker_socket), cloudflare=Cloudflare.of(settings))


@dataclass(frozen=True, slots=True)
class Portal:
    """The parts of a running portal, as routes find them."""

    settings: PortalSettings
    clock: Clock
    db: Database
    hub: Hub
    runner: Runner
    broker: Broker
    auth: Auth
    containers: Containers
    run_state: RunState
    backups: Backups
    dns: DnsRoom
    tunnels: Tunnels
    posture: Posture
    mail_domains: MailDomains
    databases: DatabasesRoom
    console: Console
    wordpress: WordPress
    site_probes: SiteProbes
    fleet_updates: FleetUpdates
    site_mail: SiteMail
    site_recipes: SiteRecipes
    idempotency: Idempotency
    uses: Uses
    readings: Readings
    scheduler: Scheduler


def create_app(settings: PortalSettings, adapters: Adapters) -> FastAPI:
    """Return the application. Raise UnguardedRoute when a route names no permission."""
    app = FastAPI(
        title="Homeport portal",
        version=version("homeport"),
        lifespan=lambda app: _lifespan(app, settings, adapters),
        generate_unique_id_function=openapi.operation_id,
        docs_url=None,  # no API browser: `homeport portal openapi` prints the document
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        max_body_size=MAX_BODY_BYTES,
    )
    site = Site.from_public_url(settings.public_url)
    door.install(
        app,
        hosts={urlsplit(origin).netloc for origin in site.origins},
        proxies=settings.trusted_proxies,
        is_https=not site.is_embedded,
    )
    app.include_router(health.routes())
    app.include_router(_problems())
    for router in (
        auth_routes,
        audit_routes,
        operations_routes,
        container_plan_routes,
        containers_routes,
        backups_routes,
        tunnel_routes,
        posture_routes,
        dns_routes,
        mail_domain_routes,
        *BLOG_ROUTERS,
        dashboard_routes,
    ):
        app.include_router(router)
    app.include_router(FrontEnd(settings.front_end_dir).router())  # last: it takes every path that is left
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # the framework's way to replace it
    check_routes(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: PortalSettings, adapters: Adapters) -> AsyncIterator[None]:
    """Start the parts, each after what it needs, and end them in reverse."""
    clock, broker, cf = adapters.clock, adapters.broker, adapters.cloudflare
    async with AsyncExitStack() as stack:
        db = Database(settings.database)
        stack.callback(db.close)
        stack.push_async_callback(broker.close)
        if cf is not None:
            stack.push_async_callback(cf.close)
        site, seal = Site.from_public_url(settings.public_url), Seal.at(settings.state_dir / "secret.key")
        auth = Auth(db, site=site, seal=seal, clock=clock)
        hub = Hub()
        runner = Runner(db, hub, clock)
        stack.push_async_callback(runner.close)
        stack.callback(hub.close)
        containers = Containers.of(broker, db, hub, runner, clock, settings.state_dir)
        stack.push_async_callback(containers.close)
        plans_ = Plans(db, runner, clock)
        run_state = RunState(containers, broker, runner, plans_)
        backups = Backups.of(settings.backup_dir, broker, hub, runner, clock)
        stack.push_async_callback(backups.close)
        rooms: dict[str, UsedBy] = {"containers": containers, "edge": EdgeUses(settings)}
        uses = Uses(rooms)
        dns = DnsRoom.of(cf, db, hub, runner, plans_, uses, clock, settings, edge_marker=marker_of(settings.state_dir))
        stack.push_async_callback(dns.close)
        rooms["dns"] = dns
        tunnels = Tunnels.of(cf, dns, broker, plans_, uses, clock, settings)
        stack.push_async_callback(tunnels.close)
        rooms["tunnel"] = tunnels
        posture = Posture.of(cf, dns, clock, settings)
        stack.push_async_callback(posture.close)
        dns.propagate = posture.propagation
        mail_domains = MailDomains.of(cf, dns, db, runner, plans_, clock, settings)
        stack.push_async_callback(mail_domains.close)
        posture.watch(mail_domains.names)
        dns.mail_domains = mail_domains.names
        blog = Blog.of(stack, settings, broker, db, hub, runner, plans_, clock, seal, backups=backups, tunnels=tunnels)
        rooms.update(blog.uses)
        probes = [
            probe for room in (containers, backups, dns, tunnels, posture, mail_domains, blog) for probe in room.probes
        ]
        readings = Readings([DatabaseProbe(db, clock), *probes], clock)
        jobs_of_rooms = [job for room in (dns, tunnels, posture, mail_domains, blog) for job in room.jobs]
        scheduler = Scheduler([*_jobs(db, clock, readings), *jobs_of_rooms], clock)
        app.state.portal = Portal(
            settings=settings,
            clock=clock,
            db=db,
            hub=hub,
            runner=runner,
            broker=broker,
            auth=auth,
            containers=containers,
            run_state=run_state,
            backups=backups,
            dns=dns,
            tunnels=tunnels,
            posture=posture,
            mail_domains=mail_domains,
            databases=blog.databases,
            console=blog.console,
            wordpress=blog.wordpress,
            site_probes=blog.site_probes,
            fleet_updates=blog.fleet_updates,
            site_mail=blog.site_mail,
            site_recipes=blog.site_recipes,
            idempotency=Idempotency(db, clock, seal.key_for("idempotency")),
            uses=uses,
            readings=readings,
            scheduler=scheduler,
        )
        containers.begin()  # they tell the runner how their acts are re-checked
        run_state.begin()
        backups.begin()
        dns.begin()
        tunnels.begin()
        posture.begin()
        mail_domains.begin()
        blog.begin()
        await runner.recover()
        jobs = asyncio.create_task(scheduler.run())
        stack.push_async_callback(_end, jobs)
        yield


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _jobs(db: Database, clock: Clock, readings: Readings) -> list[Job]:
    """The table of what is done again and again."""

    async def forget_what_is_old() -> None:
        now = now_utc(clock)
        await db.run(lambda session: records.purge(session, before=now - timedelta(days=OPERATIONS_DAYS)))
        await db.run(lambda session: idempotency.purge(session, now))
        await db.run(lambda session: plans.purge(session, now))

    probes = [
        Job(f"probe {probe.name}", probe.interval_s, partial(readings.measure, probe.name), probe.timeout_s + 5, True)
        for probe in readings.probes
    ]
    # Every hour, though days would do: a portal that is restarted each night would never get to a daily job.
    return [*probes, Job("forget what is old", every_s=3_600, work=forget_what_is_old, timeout_s=600)]


def _problems() -> APIRouter:
    """Where the `type` of a problem document leads."""
    router = APIRouter(include_in_schema=False)

    @router.get("/problems/{slug}")
    async def problem(slug: str) -> Mapping[str, Any]:
        """What this kind of problem means."""
        for cls in all_problems():
            if cls.type == slug:
                return {
                    "type": f"/problems/{slug}",
                    "title": cls.title,
                    "status": cls.status,
                    "description": cls.__doc__,
                }
        raise NotFound

    return router
