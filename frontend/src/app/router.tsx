/** Addresses and their pages. Each page is a chunk of its own; what filters, sorts or selects stands in the address. */

import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Navigate } from "@tanstack/react-router";
import { createElement, type ReactNode } from "react";

import { RESULTS } from "@/features/audit/requests";
import { withTexts } from "@/lib/language";
import { STATES } from "@/lib/operations";
import type { RestoreSearch } from "@/lib/restore";
import { rowSearch } from "@/lib/row-search";
import { zoneSearch } from "@/lib/zone-search";

import { NotFound, Root, RouteError } from "./root";
import { oneOf, textOf } from "./search";

const root = createRootRoute({ component: Root, notFoundComponent: NotFound, errorComponent: RouteError });

const dashboard = createRoute({ getParentRoute: () => root, path: "/", component: lazyRouteComponent(() => withTexts(import("@/app/dashboard-page"), "backups", "wordpress", "databases"), "DashboardPage") });

const CONTAINER_ACTS = ["start", "stop", "restart"] as const; // whose dialog is open
const CONTAINER_TABS = ["overview", "logs", "stats", "events"] as const;

const MAX_ASSET_CHARACTERS = 256; // a kind, and a name of 240

const containers = createRoute({
  getParentRoute: () => root,
  path: "/containers",
  validateSearch: (search: Record<string, unknown>): { tab?: "removed" | "images"; find?: string; show?: "trouble" | "stopped" } => ({
    tab: oneOf(["removed", "images"] as const, search["tab"]),
    find: textOf(search["find"]),
    show: oneOf(["trouble", "stopped"] as const, search["show"]),
  }),
  component: lazyRouteComponent(() => import("@/features/containers/containers-page"), "ContainersPage"),
});

const container = createRoute({
  getParentRoute: () => root,
  path: "/containers/$name",
  validateSearch: (search: Record<string, unknown>): { tab?: (typeof CONTAINER_TABS)[number]; find?: string; ask?: (typeof CONTAINER_ACTS)[number] } => ({
    tab: oneOf(CONTAINER_TABS, search["tab"]),
    ask: oneOf(CONTAINER_ACTS, search["ask"]),
    find: textOf(search["find"]),
  }),
  component: lazyRouteComponent(() => import("@/features/containers/container-page"), "ContainerPage"),
});

const removed = createRoute({
  getParentRoute: () => root,
  path: "/containers/removed/$id",
  component: lazyRouteComponent(() => import("@/features/containers/removed-page"), "RemovedPage"),
});

const logs = createRoute({
  getParentRoute: () => root,
  path: "/logs",
  validateSearch: (search: Record<string, unknown>): { of?: string } => ({ of: textOf(search["of"]) }),
  component: lazyRouteComponent(() => import("@/features/logs/logs-page"), "LogsPage"),
});

const BACKUP_TABS = ["coverage", "history"] as const;
const BACKUP_ACTS = ["run", "drill"] as const; // whose dialog is open
const COVERED = ["yes", "excluded", "missing", "same-device"] as const;

const backups = createRoute({
  getParentRoute: () => root,
  path: "/backups",
  validateSearch: (
    search: Record<string, unknown>,
  ): { tab?: (typeof BACKUP_TABS)[number]; ask?: (typeof BACKUP_ACTS)[number]; find?: string; show?: (typeof COVERED)[number] } => ({
    tab: oneOf(BACKUP_TABS, search["tab"]),
    ask: oneOf(BACKUP_ACTS, search["ask"]),
    find: textOf(search["find"]),
    show: oneOf(COVERED, search["show"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/backups/backups-page"), "backups"), "BackupsPage"),
});

const backupPoint = createRoute({
  getParentRoute: () => root,
  path: "/backups/points/$flat",
  validateSearch: (search: Record<string, unknown>): { ask?: "verify" } => ({ ask: oneOf(["verify"] as const, search["ask"]) }),
  component: lazyRouteComponent(() => withTexts(import("@/features/backups/point-page"), "backups"), "PointPage"),
});

const backupRun = createRoute({
  getParentRoute: () => root,
  path: "/backups/runs/$id",
  component: lazyRouteComponent(() => withTexts(import("@/features/backups/run-page"), "backups"), "RunPage"),
});

const restore = createRoute({
  getParentRoute: () => root,
  path: "/backups/restore",
  validateSearch: (search: Record<string, unknown>): RestoreSearch => ({
    point: textOf(search["point"]),
    asset: textOf(search["asset"], MAX_ASSET_CHARACTERS),
    folder: textOf(search["folder"], MAX_ASSET_CHARACTERS),
    origin: oneOf(["local", "repository", "vault"] as const, search["origin"]),
    where: oneOf(["beside", "in-place"] as const, search["where"]),
    preview: textOf(search["preview"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/backups/restore-page"), "backups"), "RestorePage"),
});

const zones = createRoute({
  getParentRoute: () => root,
  path: "/dns",
  component: lazyRouteComponent(() => withTexts(import("@/features/dns/zones-page"), "dns"), "ZonesPage"),
});

const zone = createRoute({
  getParentRoute: () => root,
  path: "/dns/$zone",
  validateSearch: zoneSearch,
  component: lazyRouteComponent(() => withTexts(import("@/features/dns/zone-page"), "dns"), "ZonePage"),
});

const MAX_KEY_CHARACTERS = 400; // a type, a name of 253 and a digest

const record = createRoute({
  getParentRoute: () => root,
  path: "/dns/$zone/record",
  validateSearch: (search: Record<string, unknown>): { key?: string; ask?: "edit" | "delete" } => ({
    key: textOf(search["key"], MAX_KEY_CHARACTERS),
    ask: oneOf(["edit", "delete"] as const, search["ask"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/dns/record-page"), "dns"), "RecordPage"),
});

const zoneImport = createRoute({
  getParentRoute: () => root,
  path: "/dns/$zone/import",
  component: lazyRouteComponent(() => withTexts(import("@/features/dns/import-page"), "dns"), "ImportPage"),
});

const zoneHistory = createRoute({
  getParentRoute: () => root,
  path: "/dns/$zone/history",
  validateSearch: (search: Record<string, unknown>): { from?: string; to?: string; drift?: "all" } => ({
    from: textOf(search["from"]),
    to: textOf(search["to"]),
    drift: oneOf(["all"] as const, search["drift"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/dns/history-page"), "dns"), "HistoryPage"),
});

const tunnel = createRoute({
  getParentRoute: () => root,
  path: "/dns/tunnel",
  validateSearch: (search: Record<string, unknown>): { ask?: "add" } => ({ ask: oneOf(["add"] as const, search["ask"]) }),
  component: lazyRouteComponent(() => withTexts(import("@/features/dns/tunnel/tunnel-page"), "dns", "mail"), "TunnelPage"),
});

const mailPosture = createRoute({
  getParentRoute: () => root,
  path: "/dns/mail",
  validateSearch: (search: Record<string, unknown>): { zone?: string; ask?: "fix" } => ({ zone: textOf(search["zone"]), ask: oneOf(["fix"] as const, search["ask"]) }),
  component: lazyRouteComponent(() => withTexts(import("@/features/dns/mail/mail-page"), "dns", "mail"), "MailPosturePage"),
});

const mailDomains = createRoute({
  getParentRoute: () => root,
  path: "/domains",
  validateSearch: (search: Record<string, unknown>): { domain?: string; ask?: "add" | "remove" } => ({
    domain: textOf(search["domain"]),
    ask: oneOf(["add", "remove"] as const, search["ask"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/domains/domains-page"), "dns", "mail"), "DomainsPage"),
});

const SITE_TABS = ["plugins", "themes", "users", "probes", "tools"] as const;
const MAX_SITES_CHARACTERS = 2_000; // their names, by commas

const databases = createRoute({
  getParentRoute: () => root,
  path: "/databases",
  component: lazyRouteComponent(() => withTexts(import("@/features/databases/databases-page"), "databases"), "DatabasesPage"),
});

const databaseDumps = createRoute({
  getParentRoute: () => root,
  path: "/databases/dumps",
  component: lazyRouteComponent(() => withTexts(import("@/features/databases/dumps-page"), "databases"), "DumpsPage"),
});

const databaseConsole = createRoute({
  getParentRoute: () => root,
  path: "/databases/console",
  validateSearch: (search: Record<string, unknown>): { tab?: "history" | "writes"; mode?: "write"; server?: string; database?: string; table?: string; write?: string } => ({
    tab: oneOf(["history", "writes"] as const, search["tab"]),
    mode: oneOf(["write"] as const, search["mode"]),
    server: textOf(search["server"]),
    database: textOf(search["database"]),
    table: textOf(search["table"]),
    write: textOf(search["write"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/databases/console/console-page"), "databases"), "ConsolePage"),
});

const databaseServer = createRoute({
  getParentRoute: () => root,
  path: "/databases/$server",
  validateSearch: (search: Record<string, unknown>): { tab?: "processes" | "slow" | "accounts"; ask?: "create" } => ({
    tab: oneOf(["processes", "slow", "accounts"] as const, search["tab"]),
    ask: oneOf(["create"] as const, search["ask"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/databases/server-page"), "databases"), "ServerPage"),
});

const database = createRoute({
  getParentRoute: () => root,
  path: "/databases/$server/$database",
  validateSearch: (search: Record<string, unknown>): { ask?: "load" | "drop" } => ({ ask: oneOf(["load", "drop"] as const, search["ask"]) }),
  component: lazyRouteComponent(() => withTexts(import("@/features/databases/database-page"), "databases"), "DatabasePage"),
});

const databaseTable = createRoute({
  getParentRoute: () => root,
  path: "/databases/$server/$database/$table",
  validateSearch: rowSearch,
  component: lazyRouteComponent(() => withTexts(import("@/features/databases/table-page"), "databases"), "TablePage"),
});

const sites = createRoute({
  getParentRoute: () => root,
  path: "/wordpress",
  validateSearch: (search: Record<string, unknown>): { ask?: "add" | "import" | "remove"; site?: string; find?: string; show?: "trouble" | "updates" } => ({
    ask: oneOf(["add", "import", "remove"] as const, search["ask"]),
    site: textOf(search["site"]),
    find: textOf(search["find"]),
    show: oneOf(["trouble", "updates"] as const, search["show"]),
  }),
  component: lazyRouteComponent(() => withTexts(import("@/features/wordpress/sites-page"), "wordpress"), "SitesPage"),
});

const siteUpdates = createRoute({
  getParentRoute: () => root,
  path: "/wordpress/updates",
  validateSearch: (search: Record<string, unknown>): { sites?: string } => ({ sites: textOf(search["sites"], MAX_SITES_CHARACTERS) }),
  component: lazyRouteComponent(() => withTexts(import("@/features/wordpress/updates/updates-page"), "wordpress", "sites"), "UpdatesPage"),
});

const siteUpdate = createRoute({
  getParentRoute: () => root,
  path: "/wordpress/updates/$id",
  component: lazyRouteComponent(() => withTexts(import("@/features/wordpress/updates/update-page"), "wordpress", "sites"), "UpdatePage"),
});

const siteMail = createRoute({
  getParentRoute: () => root,
  path: "/wordpress/mail",
  component: lazyRouteComponent(() => withTexts(import("@/features/wordpress/mail-page"), "wordpress", "sites"), "SiteMailPage"),
});

const site = createRoute({
  getParentRoute: () => root,
  path: "/wordpress/sites/$site",
  validateSearch: (search: Record<string, unknown>): { tab?: (typeof SITE_TABS)[number] } => ({ tab: oneOf(SITE_TABS, search["tab"]) }),
  component: lazyRouteComponent(() => withTexts(import("@/features/wordpress/site-page"), "wordpress", "sites"), "SitePage"),
});

const operations = createRoute({
  getParentRoute: () => root,
  path: "/operations",
  validateSearch: (search: Record<string, unknown>): { state?: (typeof STATES)[number]; target?: string } => ({ state: oneOf(STATES, search["state"]), target: textOf(search["target"]) }),
  component: lazyRouteComponent(() => import("@/features/operations/operations-page"), "OperationsPage"),
});

const operation = createRoute({
  getParentRoute: () => root,
  path: "/operations/$id",
  component: lazyRouteComponent(() => import("@/features/operations/operation-page"), "OperationPage"),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  validateSearch: (search: Record<string, unknown>): { find?: string; result?: (typeof RESULTS)[number]; actor?: string } => ({
    find: textOf(search["find"]),
    result: oneOf(RESULTS, search["result"]),
    actor: textOf(search["actor"]),
  }),
  component: lazyRouteComponent(() => import("@/features/audit/audit-page"), "AuditPage"),
});

const users = createRoute({
  getParentRoute: () => root,
  path: "/users",
  validateSearch: (search: Record<string, unknown>): { tab?: "tokens" | "roles" } => ({ tab: oneOf(["tokens", "roles"] as const, search["tab"]) }),
  component: lazyRouteComponent(() => import("@/features/users/users-page"), "UsersPage"),
});

const account = createRoute({ getParentRoute: () => root, path: "/account", component: lazyRouteComponent(() => import("@/features/account/account-page"), "AccountPage") });
const settings = createRoute({ getParentRoute: () => root, path: "/settings", component: lazyRouteComponent(() => import("@/features/settings/settings-page"), "SettingsPage") });

// Links that were good once: the gate answers them as long as they are; whoever is logged in has nothing to do there.
const home = (): ReactNode => createElement(Navigate, { to: "/", replace: true });
const setup = createRoute({ getParentRoute: () => root, path: "/setup", component: home });
const invitation = createRoute({ getParentRoute: () => root, path: "/invitation", component: home });

export const routeTree = root.addChildren([dashboard, containers, container, removed, logs, backups, backupPoint, backupRun, restore, zones, zone, record, zoneImport, zoneHistory, tunnel, mailPosture, mailDomains, databases, databaseDumps, databaseConsole, databaseServer, database, databaseTable, sites, siteUpdates, siteUpdate, siteMail, site, operations, operation, audit, users, account, settings, setup, invitation]);

export function makeRouter(): ReturnType<typeof createRouter<typeof routeTree>> {
  return createRouter({ routeTree, scrollRestoration: true });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
