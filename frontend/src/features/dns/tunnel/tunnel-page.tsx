/** The tunnel's public hostnames: where each leads, whether that is there, what leads nowhere; changed as plans. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { ConnectionNotice } from "@/components/cloudflare-notice";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";
import type mail from "@/locales/mail/en.json";

import { useDnsNews } from "../news";
import { DnsTabs } from "../tabs";
import { isBeingRead, isToBeChosen, planRoutes, tunnelQuery, type OrphanView, type RouteView, type TunnelOverview, type TunnelView } from "./requests";
import { Protection } from "./protection";
import { TroubleOf } from "./trouble";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));
const AddRoute = lazy(async () => ({ default: (await import("./add-route")).AddRoute }));

const page = getRouteApi("/dns/tunnel");

export function TunnelPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(tunnelQuery);
  const { ask } = page.useSearch();
  const navigate = page.useNavigate();
  const { isPermitted, role } = usePermission("dns:plan");
  useDnsNews();
  const close = (): void => void navigate({ search: {}, replace: true });
  return (
    <Page
      title={t("dns.tabs.tunnel")}
      lead={t("tunnel.lead")}
      aside={
        query.data?.tunnel && (
          <Button disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} onClick={() => void navigate({ search: { ask: "add" } })}>
            <Plus size={15} aria-hidden />
            {t("tunnel.add")}
          </Button>
        )
      }
    >
      <DnsTabs now="tunnel" />
      <QueryView query={query}>{(overview) => <Overview overview={overview} />}</QueryView>
      <CommandLine command="homeport tunnel routes" />
      {ask === "add" && isPermitted && (
        <Suspense>
          <AddRoute onClose={close} />
        </Suspense>
      )}
    </Page>
  );
}

function Overview({ overview }: { overview: TunnelOverview }): ReactNode {
  const { t } = useTranslation();
  const { connection, tunnel, orphans, protection, silent, read_at } = overview;
  const silentText = useSilentText();
  return (
    <div className="flex flex-col gap-4">
      {!isToBeChosen(overview) && <ConnectionNotice connection={connection} readAt={read_at} />}
      {silent.length > 0 && (
        <p className="text-sm">
          <Status tone="unknown" wraps>
            {t("tunnel.silent", { what: silent.map((each) => silentText(each)).join(t("common.listSeparator")) })}
          </Status>
        </p>
      )}
      {tunnel ? (
        <>
          <TunnelFacts tunnel={tunnel} readAt={read_at} />
          <Routes routes={tunnel.routes} isWhole={!silent.some((what) => what !== "rules")} hasBroker={!silent.includes("broker")} />
          <Orphans orphans={orphans} isWhole={silent.length === 0} />
          <Protection protection={protection} routes={tunnel.routes} />
        </>
      ) : (
        <NoTunnel overview={overview} />
      )}
    </div>
  );
}

/** Why there is none to show: several, none, or nothing is known yet. */
function NoTunnel({ overview }: { overview: TunnelOverview }): ReactNode {
  const { t } = useTranslation();
  const { connection, read_at } = overview;
  const isOneOfSeveral = isToBeChosen(overview);
  if (connection.state === "not-configured" && !isOneOfSeveral) return null;
  const why = isOneOfSeveral ? "several" : read_at !== null ? "noTunnel" : isBeingRead(overview) ? "reading" : "unread";
  return (
    <Panel title={t("tunnel.status")}>
      <Empty title={t(`tunnel.why.${why}`)}>
        {t(`tunnel.whyNext.${why}`)}
        {isOneOfSeveral && (
          <blockquote lang="en" className="mt-2 border-l-2 border-edge pl-2 text-xs">
            <Quoted>{connection.detail}</Quoted>
          </blockquote>
        )}
      </Empty>
    </Panel>
  );
}

/** What could not be asked, in words: "broker", "zone example.com". */
function useSilentText(): (text: string) => string {
  const { t, i18n } = useTranslation();
  return (text) =>
    text.startsWith("zone ") ? t("tunnel.silentZone", { zone: visible(text.slice(5)) }) : i18n.exists(`tunnel.silentName.${text}`) ? t(`tunnel.silentName.${text as keyof typeof mail.tunnel.silentName}`) : visible(text);
}

function TunnelFacts({ tunnel, readAt }: { tunnel: TunnelView; readAt: string | null }): ReactNode {
  const { t, i18n } = useTranslation();
  return (
    <Panel title={<Quoted>{tunnel.name}</Quoted>}>
      <Facts>
        <Fact name={t("tunnel.status")}>
          <Status tone={tunnel.status === "healthy" ? "good" : tunnel.status === "degraded" ? "warn" : "bad"}>
            {i18n.exists(`tunnel.statusName.${tunnel.status}`) ? t(`tunnel.statusName.${tunnel.status as keyof typeof mail.tunnel.statusName}`) : <Quoted>{tunnel.status}</Quoted>}
          </Status>
        </Fact>
        <Fact name={t("tunnel.connections")}>{tunnel.connections}</Fact>
        <Fact name={t("tunnel.version")}>{tunnel.version ?? t("tunnel.versionLocal")}</Fact>
        {tunnel.fallback && (
          <Fact name={t("tunnel.fallback")}>
            <Quoted mono>{tunnel.fallback}</Quoted>
          </Fact>
        )}
        {readAt && (
          <Fact name={t("tunnel.readAt")}>
            <Time value={readAt} />
          </Fact>
        )}
      </Facts>
    </Panel>
  );
}

/** isWhole: all that a route hangs on could be asked. */
function Routes({ routes, isWhole, hasBroker }: { routes: readonly RouteView[]; isWhole: boolean; hasBroker: boolean }): ReactNode {
  const { t, i18n } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const [removed, setRemoved] = useState<string | null>(null);
  const columns: readonly Column<RouteView>[] = [
    {
      key: "name",
      head: t("tunnel.route"),
      cell: ({ name, service, role: use }) => (
        <>
          <span className="font-medium">
            <Quoted>{name}</Quoted>
          </span>
          <span className="block text-xs text-muted">{t(`tunnel.roleName.${use}`)}</span>
          <span className="block text-xs md:hidden">
            <Quoted mono>{service}</Quoted>
          </span>
        </>
      ),
    },
    { key: "service", head: t("tunnel.service"), spare: "md", cell: ({ service }) => <Quoted mono>{service}</Quoted> },
    {
      key: "target",
      head: t("tunnel.container"),
      spare: "md",
      cell: ({ target, target_state }) =>
        target === null ? (
          hasBroker ? <span className="text-muted">–</span> : <span className="text-unknown">{t("common.unknown")}</span>
        ) : (
          <>
            <Quoted>{target}</Quoted>{" "}
            <span className="text-xs text-muted">
              {target_state === null ? t("common.unknown") : i18n.exists(`containers.state.${target_state}`) ? t(`containers.state.${target_state as "running"}`) : <Quoted>{target_state}</Quoted>}
            </span>
          </>
        ),
    },
    { key: "record", head: t("tunnel.record"), spare: "lg", cell: ({ record }) => (record ? <Quoted mono>{`${record.type} ${record.name}`}</Quoted> : <span className="text-muted">–</span>) },
    { key: "trouble", head: t("tunnel.trouble"), cell: ({ trouble }) => <TroubleOf trouble={trouble} isWhole={isWhole} /> },
    {
      key: "acts",
      head: "",
      align: "right",
      cell: ({ name }) => (
        <Button disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} aria-label={t("tunnel.removeTitle", { name: visible(name) })} onClick={() => setRemoved(name)}>
          {t("tunnel.remove")}
        </Button>
      ),
    },
  ];
  return (
    <Panel title={t("tunnel.routes")}>
      {routes.length === 0 ? <Empty title={t("tunnel.empty")}>{t("tunnel.emptyWhy")}</Empty> : <Table caption={t("tunnel.routes")} columns={columns} rows={routes} rowKey={({ name }) => name} />}
      {removed !== null && (
        <Suspense>
          <PlanDialog title={t("tunnel.removeTitle", { name: visible(removed) })} verb={t("tunnel.removeVerb")} isDangerous make={() => planRoutes({ remove: [removed] })} onClose={() => setRemoved(null)} />
        </Suspense>
      )}
    </Panel>
  );
}

function Orphans({ orphans, isWhole }: { orphans: readonly OrphanView[]; isWhole: boolean }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const [isSweeping, setSweeping] = useState(false);
  const names = (kind: OrphanView["kind"]): string[] => orphans.filter((orphan) => orphan.kind === kind).map(({ name }) => name);
  const columns: readonly Column<OrphanView>[] = [
    { key: "kind", head: t("tunnel.kind"), cell: ({ kind }) => t(`tunnel.orphanKind.${kind}`) },
    { key: "name", head: t("tunnel.route"), cell: ({ name }) => <Quoted>{name}</Quoted> },
    { key: "why", head: t("tunnel.trouble"), cell: ({ why }) => <TroubleOf trouble={[why]} /> },
  ];
  return (
    <Panel
      title={t("tunnel.orphans")}
      aside={
        orphans.length > 0 && (
          <Button disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} onClick={() => setSweeping(true)}>
            {t("tunnel.sweep")}
          </Button>
        )
      }
    >
      {orphans.length === 0 ? (
        isWhole ? <Empty title={t("tunnel.noOrphans")}>{t("tunnel.orphansWhy")}</Empty> : <p className="p-3 text-sm text-unknown">{t("common.unknown")}</p>
      ) : (
        <Table caption={t("tunnel.orphans")} columns={columns} rows={orphans} rowKey={({ kind, name }) => `${kind} ${name}`} />
      )}
      {isSweeping && (
        <Suspense>
          <PlanDialog title={t("tunnel.sweepTitle")} verb={t("tunnel.sweepVerb")} isDangerous make={() => planRoutes({ remove: names("route"), remove_records: names("record") })} onClose={() => setSweeping(false)} />
        </Suspense>
      )}
    </Panel>
  );
}
