/**
 * All containers by stack: what runs, what is wrong, what it takes; acts on one or on many. Beside them what the engine
 * has on its disk, and what is kept of containers that are gone.
 */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { FilterBox } from "@/components/field";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Empty, Skeleton } from "@/components/states";
import { tabLook, Tabs } from "@/components/tabs";
import { MeasuredAt } from "@/components/time";
import { searchable } from "@/lib/format";

import { needsAttention } from "./attention";
import { BulkBar } from "./bulk-bar";
import { EngineNotice } from "./engine-notice";
import { containersQuery, type ContainerView, type ContainerList } from "./requests";
import { StackPanel } from "./stack-panel";
import { useContainerNews } from "./news";

const ImagesPanel = lazy(() => import("./images-panel"));
const RemovedPanel = lazy(() => import("./removed-panel"));

const route = getRouteApi("/containers");
const TABS = ["running", "removed", "images"] as const;
const SHOWN = ["trouble", "stopped"] as const;

export function ContainersPage(): ReactNode {
  const { t } = useTranslation();
  const { tab = "running", find = "" } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(containersQuery);
  useContainerNews();
  return (
    <Page title={t("pages.containers")} aside={tab === "running" && query.data?.measured_at && <MeasuredAt value={query.data.measured_at} />}>
      <Tabs label={t("containers.allViews")}>
        {TABS.map((each) => (
          <Link key={each} to="/containers" search={each === "running" ? {} : { tab: each }} replace {...tabLook(tab === each)}>
            {t(`containers.lists.${each}`)}
          </Link>
        ))}
      </Tabs>
      {tab === "running" && (
        <>
          <QueryView query={query} rows={14}>
            {(data) => <Containers data={data} />}
          </QueryView>
          <CommandLine command="homeport containers list" />
        </>
      )}
      <Suspense fallback={<Skeleton />}>
        {tab === "removed" && <RemovedPanel find={find} onFind={(text) => void navigate({ search: (now) => ({ ...now, find: text || undefined }), replace: true })} />}
        {tab === "images" && (
          <QueryView query={query}>
            {({ engine, measured_at, containers }) => (
              <div className="flex flex-col gap-4">
                <EngineNotice engine={engine} measuredAt={measured_at} />
                <ImagesPanel containers={containers} isStale={engine.state !== "connected"} />
              </div>
            )}
          </QueryView>
        )}
      </Suspense>
    </Page>
  );
}

function Containers({ data }: { data: ContainerList }): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const filter = useRef<HTMLInputElement>(null);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const isStale = data.engine.state !== "connected";
  const shown = useMemo(() => data.containers.filter((each) => fits(each, search)), [data.containers, search]);
  const stacks = useMemo(() => byStack(shown), [shown]);
  const chosen = data.containers.filter(({ name }) => selected.has(name));
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || (event.target instanceof HTMLElement && event.target.matches("input, select, textarea"))) return;
      event.preventDefault();
      filter.current?.focus();
    };
    window.addEventListener("keydown", listener);
    return () => window.removeEventListener("keydown", listener);
  }, []);
  if (data.containers.length === 0) {
    return data.engine.state === "connected" ? (
      <div className="rounded-lg border border-line bg-panel">
        <Empty title={t("containers.empty")}>{t("containers.emptyWhy")}</Empty>
      </div>
    ) : (
      <EngineNotice engine={data.engine} measuredAt={data.measured_at} />
    );
  }
  const toggle = (names: readonly string[], isOn: boolean): void => {
    const next = new Set(selected);
    for (const name of names) {
      if (isOn) next.add(name);
      else next.delete(name);
    }
    setSelected(next);
  };
  return (
    <div className="flex flex-col gap-4">
      <EngineNotice engine={data.engine} measuredAt={data.measured_at} />
      <div className="flex flex-wrap items-center gap-2">
        <FilterBox
          ref={filter}
          label={t("containers.filter")}
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
            {t(`containers.show.${each}`)} {data.containers.filter((container) => fits(container, { show: each })).length}
          </button>
        ))}
        <span role="status" className="ml-auto text-xs text-muted">
          {t("containers.count", { count: shown.length })}
        </span>
      </div>
      <BulkBar containers={chosen} isStale={isStale} onClear={() => setSelected(new Set())} onKeep={(names) => setSelected(new Set(names))} />
      {stacks.length === 0 && (
        <div className="rounded-lg border border-line bg-panel">
          <Empty title={t("common.nothingMatches")} action={<Button onClick={() => void navigate({ search: {} })}>{t("common.resetFilter")}</Button>} />
        </div>
      )}
      {stacks.map(([stack, containers]) => (
        <StackPanel key={stack} stack={stack} containers={containers} isStale={isStale} selected={selected} onToggle={toggle} />
      ))}
    </div>
  );
}

function fits(container: ContainerView, { find, show }: { find?: string; show?: (typeof SHOWN)[number] }): boolean {
  if (show === "trouble" && !needsAttention(container)) return false;
  if (show === "stopped" && container.state === "running") return false;
  return !find || searchable(`${container.name} ${container.service} ${container.stack} ${container.image}`).includes(searchable(find));
}

export function byStack(containers: readonly ContainerView[]): readonly (readonly [string, readonly ContainerView[]])[] {
  const collator = new Intl.Collator(undefined, { numeric: true });
  const stacks = new Map<string, ContainerView[]>();
  for (const container of containers) stacks.set(container.stack, [...(stacks.get(container.stack) ?? []), container]);
  return [...stacks]
    .map(([stack, each]) => [stack, each.toSorted((one, other) => collator.compare(one.name, other.name))] as const)
    .toSorted(([one], [other]) => collator.compare(one, other));
}
