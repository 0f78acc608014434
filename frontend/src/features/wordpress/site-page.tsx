/** One site: what is on it and how it is, and everything that can be done with it. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { RefreshCw } from "lucide-react";
import { lazy, Suspense, useEffect, useEffectEvent, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { InlineError, Skeleton } from "@/components/states";
import { tabLook, Tabs } from "@/components/tabs";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { useSiteNews } from "./news";
import { Overview } from "./overview";
import { planSite, refreshSite, siteQuery, WORDPRESS, type SiteChange, type SiteView } from "./requests";
import { ReadAt, ReadingNotice, SiteStatus } from "./site-status";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));
const ExtensionsPanel = lazy(() => import("./extensions-panel"));
const UsersPanel = lazy(() => import("./users-panel"));
const ProbesPanel = lazy(() => import("./probes-panel"));
const ToolsPanel = lazy(() => import("./tools-panel"));

const route = getRouteApi("/wordpress/sites/$site");
const TABS = ["overview", "plugins", "themes", "users", "probes", "tools"] as const;

/** What is to be planned, as a dialog asks for it. */
export interface Wanted {
  title: string;
  verb: string;
  isDangerous?: boolean;
  changes: SiteChange[];
}

export function SitePage(): ReactNode {
  const { t } = useTranslation();
  const { site: name } = route.useParams();
  const { tab = "overview" } = route.useSearch();
  const query = useQuery(siteQuery(name));
  const [wanted, setWanted] = useState<Wanted | null>(null);
  useSiteNews();
  return (
    <Page
      key={name}
      title={visible(name)}
      lead={
        <Link to="/wordpress" className="hover:underline">
          ← {t("pages.wordpress")}
        </Link>
      }
      aside={query.data && <Acts site={query.data} onWanted={setWanted} />}
    >
      <Tabs label={t("wordpress.siteViews")}>
        {TABS.map((each) => (
          <Link key={each} to="/wordpress/sites/$site" params={{ site: name }} search={each === "overview" ? {} : { tab: each }} replace {...tabLook(tab === each)}>
            {t(`wordpress.tab.${each}`)}
          </Link>
        ))}
      </Tabs>
      <QueryView query={query} rows={10}>
        {(site) => (
          <div className="flex flex-col gap-4">
            <ReadingNotice reading={site.reading} />
            {tab === "overview" && <Overview site={site} onWanted={setWanted} />}
            <Suspense fallback={<Skeleton />}>
              {tab === "plugins" && <ExtensionsPanel key="plugin" kind="plugin" site={site} onWanted={setWanted} />}
              {tab === "themes" && <ExtensionsPanel key="theme" kind="theme" site={site} onWanted={setWanted} />}
              {tab === "users" && <UsersPanel site={site} />}
              {tab === "probes" && <ProbesPanel site={name} />}
              {tab === "tools" && <ToolsPanel site={site} />}
            </Suspense>
          </div>
        )}
      </QueryView>
      <CommandLine command={tab === "probes" ? `homeport wordpress probes ${name}` : `homeport wordpress show ${name}`} />
      {wanted && (
        <Suspense>
          <PlanDialog title={wanted.title} verb={wanted.verb} isDangerous={wanted.isDangerous} make={() => planSite(name, wanted.changes)} onClose={() => setWanted(null)} />
        </Suspense>
      )}
    </Page>
  );
}

function Acts({ site, onWanted }: { site: SiteView; onWanted: (wanted: Wanted) => void }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const mayRefresh = usePermission("wordpress:refresh");
  const mayPlan = usePermission("wordpress:plan");
  const mayRemove = usePermission("sites:plan");
  const refresh = useAct(() => refreshSite(site.name), { refreshes: [WORDPRESS] });
  const isActive = site.state === "active";
  // One that was made a moment ago has never been looked at: whoever opens its page wants to see it.
  const isNew = isActive && mayRefresh.isPermitted && site.reading.tried_at === null && !site.reading.is_reading;
  const look = useEffectEvent(() => refresh.mutate());
  useEffect(() => {
    if (isNew) look();
  }, [isNew]);
  const why = mayPlan.isPermitted || !mayPlan.role ? undefined : t("common.needsRole", { role: t(`role.${mayPlan.role}`) });
  const whyNotRemoved = mayRemove.isPermitted || !mayRemove.role ? undefined : t("common.needsRole", { role: t(`role.${mayRemove.role}`) });
  const verb = t(site.is_maintained ? "wordpress.maintenance.off" : "wordpress.maintenance.on");
  return (
    <>
      <SiteStatus site={site} />
      <span className="text-xs text-muted">
        <ReadAt reading={site.reading} />
      </span>
      {site.running_operation && (
        <Link to="/operations/$id" params={{ id: site.running_operation }} className={buttonLook("quiet", "text-accent")}>
          {t("operations.toIt")}
        </Link>
      )}
      <Button disabled={!isActive || !mayRefresh.isPermitted} busy={refresh.isPending} onClick={() => refresh.mutate()}>
        <RefreshCw size={14} aria-hidden />
        {t("wordpress.refresh")}
      </Button>
      <Button
        disabled={!isActive || !mayPlan.isPermitted}
        title={why}
        onClick={() => onWanted({ title: t("wordpress.actOn", { act: verb, name: visible(site.name) }), verb, isDangerous: !site.is_maintained, changes: [{ kind: "maintenance", is_on: !site.is_maintained }] })}
      >
        {verb}
      </Button>
      <Button disabled={!mayRemove.isPermitted} title={whyNotRemoved} onClick={() => void navigate({ to: "/wordpress", search: { ask: "remove", site: site.name } })}>
        {t("wordpress.recipe.remove")}
      </Button>
      {refresh.error && <InlineError error={refresh.error} />}
    </>
  );
}
