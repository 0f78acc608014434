/** One server: its databases, what it is doing now, what took long, and who may do what on it. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Plus, Stethoscope } from "lucide-react";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { InlineError, Skeleton } from "@/components/states";
import { Status } from "@/components/status";
import { MeasuredAt } from "@/components/time";
import { useAct } from "@/lib/act";
import { bytes, duration } from "@/lib/format";
import { usePermission } from "@/lib/permission";

import { DatabasesTable } from "./databases-table";
import { useDatabaseNews } from "./news";
import { ServerStatus, SilentNotice } from "./notice";
import { checkServer, serverQuery, type ServerView } from "./requests";
import { Path, ServerTabs } from "./tabs";

const ProcessesPanel = lazy(() => import("./processes-panel"));
const SlowPanel = lazy(() => import("./slow-panel"));
const AccountsPanel = lazy(() => import("./accounts-panel"));
const CreateDialog = lazy(() => import("./create-dialog"));

const route = getRouteApi("/databases/$server");
const COMMANDS = { databases: "list", processes: "processes", slow: "slow", accounts: "accounts" } as const;

export function ServerPage(): ReactNode {
  const { server: name } = route.useParams();
  const { tab = "databases", ask } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(serverQuery(name));
  useDatabaseNews();
  const server = query.data;
  return (
    <Page
      key={name}
      title={name}
      lead={<Path />}
      aside={server && <ServerActs server={server} onCreate={() => void navigate({ search: (now) => ({ ...now, ask: "create" }), replace: true })} />}
    >
      <ServerTabs server={name} now={tab} />
      <QueryView query={query}>
        {(found) => (
          <div className="flex flex-col gap-4">
            <SilentNotice server={found} />
            {tab === "databases" && <Overview server={found} />}
            <Suspense fallback={<Skeleton />}>
              {tab === "processes" && <ProcessesPanel server={name} />}
              {tab === "slow" && <SlowPanel server={name} />}
              {tab === "accounts" && <AccountsPanel server={found} />}
            </Suspense>
          </div>
        )}
      </QueryView>
      <CommandLine command={`homeport db ${COMMANDS[tab]} ${name}`} />
      {ask === "create" && server && (
        <Suspense>
          <CreateDialog server={name} onClose={() => void navigate({ search: (now) => ({ ...now, ask: undefined }), replace: true })} />
        </Suspense>
      )}
    </Page>
  );
}

function ServerActs({ server, onCreate }: { server: ServerView; onCreate: () => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("databases:create");
  const why = server.state !== "connected" ? t("databases.staleActs") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : undefined;
  return (
    <>
      <span className="flex items-center gap-2 text-xs">
        <ServerStatus server={server} />
        {server.seen_at !== null && <MeasuredAt value={server.seen_at} />}
      </span>
      <Button look="primary" disabled={why !== undefined} title={why} onClick={onCreate}>
        <Plus size={14} aria-hidden />
        {t("databases.create.verb")}
      </Button>
    </>
  );
}

function Overview({ server }: { server: ServerView }): ReactNode {
  const { t } = useTranslation();
  const { seen } = server;
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[1fr_22rem]">
      {seen && (
        <Panel
          title={t("databases.tabs.databases")}
          aside={<span className="text-xs text-muted">{t("databases.sum", { count: seen.databases.length, size: bytes(seen.databases.reduce((sum, each) => sum + each.bytes, 0)) })}</span>}
        >
          <DatabasesTable server={server} databases={seen.databases} />
        </Panel>
      )}
      <Panel title={t("databases.server.title")}>
        <Facts>
          <Fact name={t("databases.server.address")}>
            <span className="font-mono text-[0.92em]">
              <Quoted>{`${server.host}:${server.port}`}</Quoted>
            </span>
          </Fact>
          <Fact name="TLS">{t(`databases.tls.${server.tls}`)}</Fact>
          {seen && (
            <>
              <Fact name={t("databases.server.version")}>
                <Quoted>{seen.version}</Quoted>
              </Fact>
              <Fact name={t("databases.server.uptime")}>{duration(seen.uptime_s)}</Fact>
              <Fact name={t("databases.server.connections")}>{t("databases.server.of", { now: seen.connections, most: seen.max_connections })}</Fact>
            </>
          )}
          {server.owner_of !== null && (
            <Fact name={t("databases.server.for")}>
              <Quoted>{server.owner_of}</Quoted>
            </Fact>
          )}
        </Facts>
        <Connection server={server.name} />
      </Panel>
    </div>
  );
}

/** The way of every account to the server, gone now: each says where it ends. */
function Connection({ server }: { server: string }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted } = usePermission("databases:accounts");
  const check = useAct(() => checkServer(server));
  if (!isPermitted) return null;
  return (
    <div className="flex flex-col items-start gap-2 border-t border-line p-3 text-sm">
      <Button busy={check.isPending} onClick={() => check.mutate()}>
        <Stethoscope size={14} aria-hidden />
        {t("databases.check.verb")}
      </Button>
      {check.error && <InlineError error={check.error} />}
      {check.data && (
        <ul aria-label={t("databases.check.verb")} className="flex flex-col gap-1.5">
          {check.data.checks.map(({ purpose, user, layer, detail, took_ms }) => (
            <li key={purpose}>
              <Status tone={layer === null ? "good" : "bad"} wraps>
                {t(`databases.purpose.${purpose}`)} (<Quoted mono>{user}</Quoted>): {layer === null ? t("databases.check.fine", { ms: Math.round(took_ms) }) : t(`databases.layer.${layer}`)}
              </Status>
              {detail && (
                <span lang="en" className="block pl-5 text-xs text-muted">
                  <Quoted>{detail}</Quoted>
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
      <CommandLine command="homeport db servers --check" />
    </div>
  );
}
