/** All WordPress sites: how each is, what could be updated, and what is done with several or with a site as a whole. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { PlugZap, Plus, RefreshCw, X } from "lucide-react";
import { lazy, Suspense, useMemo, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook, IconButton } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { FilterBox } from "@/components/field";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { useAct } from "@/lib/act";
import { bytes, searchable } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { withTexts } from "@/lib/language";
import { usePermission } from "@/lib/permission";

import { useSiteNews } from "./news";
import { refreshSites, sitesQuery, unfinishedQuery, WORDPRESS, type SiteRowView, type WordPressOverview } from "./requests";
import { hasUpdates, needsAttention, NewestPoint, Reach, ReadAt, SiteStatus } from "./site-status";
import { WordPressTabs } from "./tabs";

const RecipeDialog = lazy(() => withTexts(import("./recipe/recipe-dialog"), "sites"));
const Unfinished = lazy(() => withTexts(import("./recipe/unfinished"), "sites"));

const page = getRouteApi("/wordpress");
const SHOWN = ["trouble", "updates"] as const;
const BAR = "sticky top-12 z-10 flex flex-wrap items-center gap-2 rounded-lg border border-accent bg-panel px-3 py-1.5 shadow-sm";

export function SitesPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(sitesQuery);
  const { ask, site } = page.useSearch();
  const navigate = page.useNavigate();
  const mayPlan = usePermission("sites:plan");
  const mayRefresh = usePermission("wordpress:refresh");
  const mayRead = usePermission("sites:read");
  const isUnfinished = (useQuery({ ...unfinishedQuery, enabled: mayRead.isPermitted }).data?.runs.length ?? 0) > 0;
  const refresh = useAct(refreshSites, { refreshes: [WORDPRESS] });
  useSiteNews();
  const why = mayPlan.isPermitted || !mayPlan.role ? undefined : t("common.needsRole", { role: t(`role.${mayPlan.role}`) });
  const isConnected = query.data?.is_connected ?? false;
  return (
    <Page
      title={t("pages.wordpress")}
      aside={
        <>
          <Button disabled={!isConnected || !mayRefresh.isPermitted} busy={refresh.isPending} onClick={() => refresh.mutate()}>
            <RefreshCw size={14} aria-hidden />
            {t("wordpress.refreshAll")}
          </Button>
          <Button disabled={!isConnected || !mayPlan.isPermitted} title={why} onClick={() => void navigate({ search: (now) => ({ ...now, ask: "import" }) })}>
            {t("wordpress.recipe.import")}
          </Button>
          <Button look="primary" disabled={!isConnected || !mayPlan.isPermitted} title={why} onClick={() => void navigate({ search: (now) => ({ ...now, ask: "add" }) })}>
            <Plus size={15} aria-hidden />
            {t("wordpress.recipe.add")}
          </Button>
        </>
      }
    >
      <WordPressTabs now="sites" />
      {refresh.error && <InlineError error={refresh.error} />}
      {isUnfinished && (
        <Suspense>
          <Unfinished />
        </Suspense>
      )}
      <QueryView query={query} rows={10}>
        {(data) => <Sites data={data} />}
      </QueryView>
      <CommandLine command="homeport wordpress list" />
      {ask && mayPlan.isPermitted && (
        <Suspense>
          <RecipeDialog act={ask} site={site ?? ""} onClose={() => void navigate({ search: (now) => ({ ...now, ask: undefined, site: undefined }), replace: true })} />
        </Suspense>
      )}
    </Page>
  );
}

function Sites({ data }: { data: WordPressOverview }): ReactNode {
  const { t } = useTranslation();
  const search = page.useSearch();
  const navigate = page.useNavigate();
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const shown = useMemo(() => data.sites.filter((each) => fits(each, search)), [data.sites, search]);
  const chosen = data.sites.filter(({ name }) => selected.has(name));
  return (
    <div className="flex flex-col gap-4">
      {!data.is_connected && <Notice what="notConnected" next="notConnectedNext" />}
      {data.is_connected && !data.can_render && <Notice what="cannotRender" next="cannotRenderNext" />}
      {data.sites.length === 0 ? (
        data.is_connected && (
          <Panel title={t("wordpress.sites")}>
            <Empty title={t("wordpress.empty")} command="homeport site add garden --host garden.example --title Garden --admin warden --email warden@garden.example --plan">
              {t("wordpress.emptyWhy")}
            </Empty>
          </Panel>
        )
      ) : (
        <>
          <div className="flex flex-wrap items-center gap-2">
            <FilterBox
              label={t("wordpress.filter")}
              className="max-w-72"
              value={search.find ?? ""}
              onChange={(event) => void navigate({ search: (now) => ({ ...now, find: event.target.value || undefined }), replace: true })}
            />
            {SHOWN.map((each) => (
              <button
                key={each}
                type="button"
                aria-pressed={search.show === each}
                className={buttonLook("plain", "aria-pressed:border-accent aria-pressed:bg-accent/12")}
                onClick={() => void navigate({ search: (now) => ({ ...now, show: now.show === each ? undefined : each }) })}
              >
                {t(`wordpress.show.${each}`)} {data.sites.filter((site) => fits(site, { show: each })).length}
              </button>
            ))}
            <span role="status" className="ml-auto text-xs text-muted">
              {t("wordpress.count", { count: shown.length })}
            </span>
          </div>
          <BulkBar sites={chosen} isConnected={data.is_connected} onClear={() => setSelected(new Set())} />
          <Panel title={t("wordpress.sites")}>
            {shown.length === 0 ? (
              <Empty title={t("common.nothingMatches")} action={<Button onClick={() => void navigate({ search: {} })}>{t("common.resetFilter")}</Button>} />
            ) : (
              <SitesTable sites={shown} selected={selected} onSelect={setSelected} />
            )}
          </Panel>
        </>
      )}
    </div>
  );
}

function Notice({ what, next }: { what: "notConnected" | "cannotRender"; next: "notConnectedNext" | "cannotRenderNext" }): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="flex flex-col items-start gap-2 rounded-lg border border-line bg-panel p-4 text-sm">
      <p className="flex items-center gap-2 font-medium">
        <PlugZap size={16} aria-hidden className="text-muted" />
        {t(`wordpress.${what}`)}
      </p>
      <p className="max-w-prose text-muted">{t(`wordpress.${next}`)}</p>
      <Link to="/settings" className="underline">
        {t("pages.settings")}
      </Link>
    </div>
  );
}

function BulkBar({ sites, isConnected, onClear }: { sites: readonly SiteRowView[]; isConnected: boolean; onClear: () => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("wordpress:plan");
  if (sites.length === 0) return null;
  return (
    <div className={BAR}>
      <span role="status" className="text-sm font-medium">
        {t("wordpress.selected", { count: sites.length })}
      </span>
      {isConnected && isPermitted ? (
        <Link to="/wordpress/updates" search={{ sites: sites.map(({ name }) => name).join(",") }} className={buttonLook()}>
          {t("wordpress.update.selected")}
        </Link>
      ) : (
        <span className="text-xs text-muted">{role ? t("common.needsRole", { role: t(`role.${role}`) }) : t("wordpress.notConnected")}</span>
      )}
      <IconButton label={t("containers.clearSelection")} onClick={onClear} className="ml-auto">
        <X size={16} aria-hidden />
      </IconButton>
    </div>
  );
}

function SitesTable({ sites, selected, onSelect }: { sites: readonly SiteRowView[]; selected: ReadonlySet<string>; onSelect: (selected: ReadonlySet<string>) => void }): ReactNode {
  const { t } = useTranslation();
  const toggle = (name: string, isOn: boolean): void => {
    const next = new Set(selected);
    if (isOn) next.add(name);
    else next.delete(name);
    onSelect(next);
  };
  const columns: readonly Column<SiteRowView>[] = [
    {
      key: "select",
      head: "",
      cell: ({ name }) => (
        <input
          type="checkbox"
          className="size-4 align-middle accent-accent"
          aria-label={t("wordpress.select", { name: visible(name) })}
          checked={selected.has(name)}
          onChange={(event) => toggle(name, event.target.checked)}
        />
      ),
    },
    {
      key: "name",
      head: t("wordpress.column.site"),
      cell: ({ name, title, hostnames }) => (
        <span className="flex min-w-40 flex-col">
          <Link to="/wordpress/sites/$site" params={{ site: name }} className="font-medium hover:underline">
            <Quoted>{name}</Quoted>
          </Link>
          {title !== null && (
            <span className="line-clamp-1 text-xs">
              <Quoted>{title}</Quoted>
            </span>
          )}
          <span className="text-xs text-muted">
            <Quoted>{hostnames[0] ?? ""}</Quoted>
          </span>
        </span>
      ),
    },
    {
      key: "state",
      head: t("wordpress.column.state"),
      cell: (site) => (
        <span className="flex flex-col items-start">
          <SiteStatus site={site} />
          {(site.reading.read_at !== null || site.reading.is_reading) && (
            <span className="text-xs whitespace-nowrap text-muted">
              <span className="sr-only">{t("wordpress.column.read")}: </span>
              <ReadAt reading={site.reading} />
            </span>
          )}
          {site.running_operation && (
            <Link to="/operations/$id" params={{ id: site.running_operation }} className="text-xs underline">
              {t("operations.toIt")}
            </Link>
          )}
        </span>
      ),
    },
    { key: "reach", head: t("wordpress.column.reach"), cell: ({ name }) => <Reach site={name} /> },
    { key: "core", head: t("wordpress.column.core"), cell: ({ core_version, core_update, php_version }) => <Version version={core_version} update={core_update} php={php_version} /> },
    { key: "plugins", head: t("wordpress.column.plugins"), cell: ({ plugins, plugin_updates }) => <Counted count={plugins} updates={plugin_updates} /> },
    { key: "themes", head: t("wordpress.column.themes"), spare: "md", cell: ({ themes, theme_updates }) => <Counted count={themes} updates={theme_updates} /> },
    { key: "database", head: t("wordpress.column.database"), spare: "xl", align: "right", cell: ({ database_bytes }) => (database_bytes === null ? "–" : bytes(database_bytes)) },
    { key: "point", head: t("wordpress.column.point"), spare: "lg", cell: ({ name }) => <NewestPoint site={name} /> },
    { key: "ring", head: t("wordpress.column.ring"), spare: "xl", align: "right", cell: ({ ring }) => ring },
  ];
  return <Table caption={t("wordpress.sites")} columns={columns} rows={sites} rowKey={({ name }) => name} />;
}

function Version({ version, update, php }: { version: string | null; update: string | null; php: string | null }): ReactNode {
  if (version === null) return "–";
  return (
    <span className="inline-flex flex-col">
      <Quoted mono>{version}</Quoted>
      {update !== null && (
        <Status tone="warn">
          <Quoted mono>{`→ ${update}`}</Quoted>
        </Status>
      )}
      {php !== null && (
        <span className="text-xs whitespace-nowrap text-muted">
          PHP <Quoted mono>{php}</Quoted>
        </span>
      )}
    </span>
  );
}

function Counted({ count, updates }: { count: number | null; updates: number | null }): ReactNode {
  const { t } = useTranslation();
  if (count === null) return "–";
  return (
    <span className="inline-flex flex-col">
      <span>{count}</span>
      {(updates ?? 0) > 0 && <Status tone="warn">{t("wordpress.updates", { count: updates ?? 0 })}</Status>}
    </span>
  );
}

function fits(site: SiteRowView, { find, show }: { find?: string; show?: (typeof SHOWN)[number] }): boolean {
  if (show === "trouble" && !needsAttention(site)) return false;
  if (show === "updates" && !hasUpdates(site)) return false;
  return !find || searchable(`${site.name} ${site.title ?? ""} ${site.hostnames.join(" ")}`).includes(searchable(find));
}
