/** Update day: which sites and what of them, ring by ring; and how earlier days went. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { TextField } from "@/components/field";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table } from "@/components/table";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { siteChangeName } from "@/lib/plans";

import { useSiteNews } from "../news";
import { applyUpdate, planUpdate, sitesQuery, updatesQuery, WORDPRESS, type SiteRowView, type UpdatePlan, type UpdateReport } from "../requests";
import { hasUpdates } from "../site-status";
import { WordPressTabs } from "../tabs";
import { UpdateStatus } from "./update-status";

const page = getRouteApi("/wordpress/updates");
const KINDS = ["plugins", "themes", "core"] as const;
const RINGS = [1, 2] as const;
const SOAK_MINUTES = 30;
const MAX_SOAK_MINUTES = 1_440;

export function UpdatesPage(): ReactNode {
  const { t } = useTranslation();
  const sites = useQuery(sitesQuery);
  const updates = useQuery(updatesQuery);
  useSiteNews();
  return (
    <Page title={t("wordpress.update.title")} lead={t("wordpress.update.lead")}>
      <WordPressTabs now="updates" />
      {updates.data && updates.data.not_ready.length > 0 && (
        <Panel title={t("wordpress.update.notReady")}>
          <ul lang="en" className="list-disc p-3 pl-7 text-sm">
            {updates.data.not_ready.map((line) => (
              <li key={line}>
                <Quoted>{line}</Quoted>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      <QueryView query={sites}>{(data) => <Choose sites={data.sites.filter(({ state }) => state === "active")} isReady={updates.data?.not_ready.length === 0} />}</QueryView>
      <QueryView query={updates}>{(data) => <Earlier updates={data.updates} />}</QueryView>
    </Page>
  );
}

function Choose({ sites, isReady }: { sites: readonly SiteRowView[]; isReady: boolean }): ReactNode {
  const { t } = useTranslation();
  const { sites: asked } = page.useSearch();
  const { isPermitted, role } = usePermission("wordpress:plan");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(() => new Set(asked ? asked.split(",") : sites.filter(hasUpdates).map(({ name }) => name)));
  const [kinds, setKinds] = useState<Readonly<Record<(typeof KINDS)[number], boolean>>>({ plugins: true, themes: true, core: true });
  const [rings, setRings] = useState<ReadonlySet<1 | 2>>(new Set(RINGS));
  const [soak, setSoak] = useState(SOAK_MINUTES);
  const [plan, setPlan] = useState<UpdatePlan | null>(null);
  const names = sites.filter(({ name }) => chosen.has(name)).map(({ name }) => name);
  const make = useAct(() => planUpdate({ sites: names, rings: [...rings], soak_minutes: soak, ...kinds }), { onDone: setPlan });
  const canPlan = isReady && isPermitted && names.length > 0 && rings.size > 0 && KINDS.some((each) => kinds[each]) && soak >= 0 && soak <= MAX_SOAK_MINUTES;
  if (sites.length === 0) {
    return (
      <Panel title={t("wordpress.update.choose")}>
        <Empty title={t("wordpress.empty")} />
      </Panel>
    );
  }
  const options = [...KINDS.filter((each) => !kinds[each]).map((each) => ` --no-${each}`), rings.size === 1 ? ` --ring ${[...rings].join("")}` : "", soak === SOAK_MINUTES ? "" : ` --soak-minutes ${soak}`];
  return (
    <div className="flex flex-col gap-4">
      <Panel title={t("wordpress.update.choose")}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            setPlan(null);
            if (canPlan && !make.isPending) make.mutate();
          }}
        >
          <Table
            caption={t("wordpress.update.choose")}
            rows={sites}
            rowKey={({ name }) => name}
            columns={[
              {
                key: "site",
                head: t("wordpress.column.site"),
                cell: ({ name }) => (
                  <label className="flex min-w-28 items-center gap-2 font-medium">
                    <input
                      type="checkbox"
                      className="size-4 accent-accent"
                      checked={chosen.has(name)}
                      onChange={(event) =>
                        setChosen((now) => {
                          const next = new Set(now);
                          if (event.target.checked) next.add(name);
                          else next.delete(name);
                          return next;
                        })
                      }
                    />
                    <Quoted>{name}</Quoted>
                  </label>
                ),
              },
              { key: "ring", head: t("wordpress.column.ring"), cell: ({ ring }) => ring },
              { key: "core", head: t("wordpress.column.core"), cell: ({ core_version, core_update }) => <Quoted mono>{core_update === null ? (core_version ?? "–") : `${core_version ?? "?"} → ${core_update}`}</Quoted> },
              { key: "plugins", head: t("wordpress.column.plugins"), align: "right", cell: ({ plugin_updates }) => plugin_updates ?? "–" },
              { key: "themes", head: t("wordpress.column.themes"), align: "right", cell: ({ theme_updates }) => theme_updates ?? "–" },
            ]}
          />
          <div className="flex flex-col gap-3 border-t border-line p-3">
            <div className="flex flex-wrap gap-x-6 gap-y-2">
              {KINDS.map((each) => (
                <label key={each} className="flex items-center gap-2 text-sm">
                  <input type="checkbox" className="size-4 accent-accent" checked={kinds[each]} onChange={(event) => setKinds((now) => ({ ...now, [each]: event.target.checked }))} />
                  {t(`wordpress.column.${each}`)}
                </label>
              ))}
              {RINGS.map((ring) => (
                <label key={ring} className="flex items-center gap-2 text-sm">
                  <input
                    type="checkbox"
                    className="size-4 accent-accent"
                    checked={rings.has(ring)}
                    onChange={(event) =>
                      setRings((now) => {
                        const next = new Set(now);
                        if (event.target.checked) next.add(ring);
                        else next.delete(ring);
                        return next;
                      })
                    }
                  />
                  {t("wordpress.update.ring", { ring })}
                </label>
              ))}
            </div>
            <div className="max-w-72">
              <TextField
                type="number"
                label={t("wordpress.update.soak")}
                hint={t("wordpress.update.soakHint")}
                min={0}
                max={MAX_SOAK_MINUTES}
                value={Number.isNaN(soak) ? "" : soak}
                onChange={(event) => setSoak(event.target.valueAsNumber)}
              />
            </div>
            {make.error && <InlineError error={make.error} />}
            <div className="flex flex-wrap items-center gap-2">
              <Button type="submit" look={plan ? "plain" : "primary"} disabled={!canPlan} busy={make.isPending}>
                {t("wordpress.preview")}
              </Button>
              {!isPermitted && role && <span className="text-xs text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</span>}
            </div>
            <CommandLine command={`homeport wordpress update${names.length === sites.length ? "" : names.map((name) => ` ${name}`).join("")}${options.join("")} --plan`} />
          </div>
        </form>
      </Panel>
      {plan && <Preview key={plan.id} plan={plan} />}
    </div>
  );
}

/** What would be done, in the order in which it would be. */
function Preview({ plan }: { plan: UpdatePlan }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { isPermitted, role } = usePermission("wordpress:update");
  const apply = useAct(() => applyUpdate(plan.id), { refreshes: [OPERATIONS, WORDPRESS], onDone: ({ id }) => void navigate({ to: "/wordpress/updates/$id", params: { id } }) });
  return (
    <Panel title={t("wordpress.update.plan")}>
      <div className="flex flex-col gap-3 p-3 text-sm">
        {plan.rings.length === 0 && <p>{t("plan.nothing")}</p>}
        {plan.rings.map(({ ring, sites }) => (
          <section key={ring} aria-label={t("wordpress.update.ring", { ring })}>
            <h3 className="font-medium">{t("wordpress.update.ring", { ring })}</h3>
            <ul className="mt-1 divide-y divide-line rounded border border-line">
              {sites.map(({ site, updates }) => (
                <li key={site} className="flex flex-wrap gap-x-4 px-3 py-1.5">
                  <span className="min-w-32 font-medium">
                    <Quoted>{site}</Quoted>
                  </span>
                  <ul className="min-w-0">
                    {updates.map(({ name, before, after }) => (
                      <li key={name}>
                        <Quoted>{siteChangeName(name)}</Quoted> <Quoted mono>{`${before ?? "?"} → ${after}`}</Quoted>
                      </li>
                    ))}
                  </ul>
                </li>
              ))}
            </ul>
          </section>
        ))}
        {plan.rings.length > 1 && <p className="text-muted">{t("wordpress.update.soaks", { count: plan.soak_minutes })}</p>}
        {plan.left_out.length > 0 && (
          <section>
            <h3 className="font-medium">{t("wordpress.update.leftOut")}</h3>
            <ul lang="en">
              {plan.left_out.map(({ site, why }) => (
                <li key={site}>
                  <Status tone="warn" wraps>
                    <span className="quoted">{visible(`${site}: ${why}`)}</span>
                  </Status>
                </li>
              ))}
            </ul>
          </section>
        )}
        <p className="text-muted">{t("wordpress.update.how")}</p>
        {apply.error && <InlineError error={apply.error} />}
        <div className="flex flex-wrap items-center gap-2">
          <Button look="primary" disabled={!isPermitted || plan.rings.length === 0} busy={apply.isPending} onClick={() => apply.mutate()}>
            {t("wordpress.update.begin")}
          </Button>
          {!isPermitted && role && <span className="text-xs text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</span>}
        </div>
      </div>
    </Panel>
  );
}

function Earlier({ updates }: { updates: readonly UpdateReport[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t("wordpress.update.earlier")}>
      {updates.length === 0 ? (
        <Empty title={t("wordpress.update.none")} />
      ) : (
        <Table
          caption={t("wordpress.update.earlier")}
          rows={updates}
          rowKey={({ id }) => id}
          columns={[
            {
              key: "at",
              head: t("wordpress.update.began"),
              cell: ({ id, began_at }) => (
                <Link to="/wordpress/updates/$id" params={{ id }} className="underline">
                  <Time value={began_at} absolute />
                </Link>
              ),
            },
            { key: "state", head: t("wordpress.column.state"), cell: ({ state }) => <UpdateStatus state={state} /> },
            { key: "sites", head: t("wordpress.sites"), align: "right", cell: ({ sites }) => sites.length },
            { key: "updated", head: t("wordpress.update.site.updated"), align: "right", cell: ({ sites }) => sites.filter(({ state }) => state === "updated").length },
            { key: "back", head: t("wordpress.update.site.rolled_back"), align: "right", cell: ({ sites }) => sites.filter(({ state }) => state === "rolled_back").length },
            { key: "by", head: t("operations.actor"), spare: "md", cell: ({ by }) => <Quoted>{by}</Quoted> },
          ]}
        />
      )}
    </Panel>
  );
}
