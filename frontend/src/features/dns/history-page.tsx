/** A zone's past: changes from outside, points in time, what differs between any two, and the way back to one. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Camera } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { ConnectionNotice } from "@/components/cloudflare-notice";
import { CommandLine } from "@/components/copy";
import { SelectField } from "@/components/field";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import RecordChange from "@/components/record-change";
import { Empty, InlineError } from "@/components/states";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";
import { absoluteTime } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { diffCommand, rollbackCommand, snapshotsCommand } from "./command-lines";
import { DriftList } from "./drift-list";
import { useDnsNews } from "./news";
import { differenceQuery, dnsQuery, DNS, driftQuery, planRollback, snapshotsQuery, takeSnapshot, type SnapshotView, type ZoneDifference } from "./requests";
import { ZoneTabs } from "./tabs";
import { isDriftKnown } from "./zone-state";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

const route = getRouteApi("/dns/$zone/history");
const NOW = "now";
const MAX_SHOWN = 200;

export function HistoryPage(): ReactNode {
  const { t } = useTranslation();
  const { zone } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { data: overview } = useQuery(dnsQuery);
  const drift = useQuery(driftQuery(zone, search.drift ?? "open"));
  const query = useInfiniteQuery(snapshotsQuery(zone));
  useDnsNews();
  const known = overview?.zones.find(({ name }) => name === zone);
  const snapshots = query.data?.pages.flatMap((page) => page.snapshots) ?? [];
  return (
    <Page
      key={zone}
      title={t("dns.history.title", { zone: visible(known?.unicode_name ?? zone) })}
      lead={
        <Link to="/dns" className="hover:underline">
          ← {t("dns.tabs.zones")}
        </Link>
      }
      aside={<TakeSnapshot zone={zone} />}
    >
      <ZoneTabs zone={zone} now="history" drift={known?.drift} />
      {overview && <ConnectionNotice connection={overview.connection} readAt={known?.read_at} />}
      <QueryView query={drift} rows={2}>
        {(list) => (
          <DriftList
            zone={zone}
            drift={list.drift}
            isKnown={known !== undefined && isDriftKnown(known)}
            isAll={search.drift === "all"}
            aside={
              <button
                type="button"
                aria-pressed={search.drift === "all"}
                className={buttonLook("quiet", "aria-pressed:border-accent aria-pressed:bg-accent/12")}
                onClick={() => void navigate({ search: (now) => ({ ...now, drift: now.drift ? undefined : "all" }), replace: true })}
              >
                {t("dns.drift.all")}
              </button>
            }
          />
        )}
      </QueryView>
      <Panel title={t("dns.history.snapshots")}>
        <QueryView query={query}>{() => (snapshots.length === 0 ? <Empty title={t("dns.history.empty")}>{t("dns.history.emptyWhy")}</Empty> : <Snapshots zone={zone} snapshots={snapshots} />)}</QueryView>
        {query.hasNextPage && (
          <div className="border-t border-line p-2 text-center">
            <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {t("common.more")}
            </Button>
          </div>
        )}
      </Panel>
      {snapshots.length > 0 && (
        <Compare zone={zone} snapshots={snapshots} from={search.from ?? snapshots[0]?.id ?? NOW} to={search.to ?? NOW} onChoose={(change) => void navigate({ search: (now) => ({ ...now, ...change }), replace: true })} />
      )}
      <CommandLine command={snapshotsCommand(zone)} />
    </Page>
  );
}

function TakeSnapshot({ zone }: { zone: string }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:refresh");
  const take = useAct(() => takeSnapshot(zone), { refreshes: [DNS] });
  return (
    <>
      <Button disabled={!isPermitted} title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })} busy={take.isPending} onClick={() => take.mutate()}>
        <Camera size={14} aria-hidden />
        {t("dns.history.take")}
      </Button>
      {take.error && <InlineError error={take.error} />}
    </>
  );
}

function Snapshots({ zone, snapshots }: { zone: string; snapshots: readonly SnapshotView[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <div role="region" aria-label={t("dns.history.snapshots")} tabIndex={0} className="relative max-h-[50dvh] overflow-auto">
      <table className="w-full border-collapse text-left text-[0.8125rem]">
        <caption className="sr-only">{t("dns.history.snapshots")}</caption>
        <thead className="sticky top-0 bg-panel">
          <tr className="border-b border-line text-xs text-muted">
            {(["taken", "reason", "records", "until"] as const).map((key) => (
              <th key={key} scope="col" className={`px-3 py-1.5 font-medium whitespace-nowrap ${key === "until" ? "hidden md:table-cell" : ""} ${key === "records" ? "hidden text-right sm:table-cell" : ""}`}>
                {t(`dns.history.${key}`)}
              </th>
            ))}
            <th scope="col" className="px-3">
              <span className="sr-only">{t("containers.acts")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {snapshots.map(({ id, taken_at, seen_until, reason, operation_id, records }) => (
            <tr key={id} className="border-b border-line last:border-0 hover:bg-sunken/60">
              <td className="px-3 py-[var(--row)]">
                <Time value={taken_at} absolute />
              </td>
              <td className="px-3">
                {t(`dns.history.why.${reason}`)}
                {operation_id && (
                  <>
                    {" "}
                    <Link to="/operations/$id" params={{ id: operation_id }} className="underline">
                      {t("dns.history.operation")}
                    </Link>
                  </>
                )}
              </td>
              <td className="hidden px-3 text-right sm:table-cell">{records}</td>
              <td className="hidden px-3 md:table-cell">
                <Time value={seen_until} absolute />
              </td>
              <td className="px-3 py-0.5 text-right">
                <Link to="/dns/$zone/history" params={{ zone }} search={(now) => ({ ...now, from: id, to: undefined })} hash="compare" className={buttonLook("quiet")} aria-label={t("dns.history.compareWith", { time: absoluteTime(taken_at) })}>
                  {t("dns.history.compare")}
                </Link>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Compare({
  zone,
  snapshots,
  from,
  to,
  onChoose,
}: {
  zone: string;
  snapshots: readonly SnapshotView[];
  from: string;
  to: string;
  onChoose: (change: { from?: string; to?: string }) => void;
}): ReactNode {
  const { t } = useTranslation();
  const query = useQuery({ ...differenceQuery(zone, from, to), enabled: from !== to });
  const options = (value: string): ReactNode => (
    <>
      <option value={NOW}>{t("dns.history.now")}</option>
      {value !== NOW && !snapshots.some(({ id }) => id === value) && <option value={value}>{value}</option>}
      {snapshots.map(({ id, taken_at, reason }) => (
        <option key={id} value={id}>
          {absoluteTime(taken_at)} · {t(`dns.history.why.${reason}`)}
        </option>
      ))}
    </>
  );
  return (
    <Panel id="compare" title={t("dns.history.compareTitle")}>
      <div className="grid gap-3 p-3 sm:grid-cols-2">
        <SelectField label={t("dns.history.from")} value={from} onChange={(event) => onChoose({ from: event.target.value })}>
          {options(from)}
        </SelectField>
        <SelectField label={t("dns.history.to")} value={to} onChange={(event) => onChoose({ to: event.target.value === NOW ? undefined : event.target.value })}>
          {options(to)}
        </SelectField>
      </div>
      {from === to ? <p className="p-3 pt-0 text-sm text-muted">{t("dns.history.same")}</p> : <QueryView query={query} rows={3}>{(difference) => <Difference key={`${from} ${to}`} difference={difference} />}</QueryView>}
      <div className="px-3 pb-3">
        <CommandLine command={diffCommand(zone, from, to)} />
      </div>
    </Panel>
  );
}

/** What differs; and, where the second point is now, the way back to the first: whole, or some records of it. */
function Difference({ difference }: { difference: ZoneDifference }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [wanted, setWanted] = useState<{ keys: string[] | undefined } | null>(null);
  const { zone, from_id, from_at, to_id, differences, counts } = difference;
  const canGoBack = from_id !== NOW && differences.length > 0;
  const idOf = ({ keys }: { keys: readonly string[] }): string => keys.join("\n");
  const keys = differences.filter((each) => chosen.has(idOf(each))).flatMap((each) => each.keys);
  return (
    <>
      {differences.length === 0 ? (
        <p className="p-3 text-sm text-muted">{t("dns.history.equal")}</p>
      ) : (
        <div className="flex flex-col gap-2 px-3 pb-3 text-sm">
          <p className="flex flex-wrap items-center gap-x-3 gap-y-2">
            <span role="status" className="font-medium">
              {(["create", "change", "delete"] as const)
                .filter((act) => (counts[act] ?? 0) > 0)
                .map((act) => t(`dns.didCount.${act}`, { count: counts[act] ?? 0 }))
                .join(t("common.listSeparator"))}
            </span>
            {canGoBack && (
              <Button
                className="ml-auto"
                disabled={!isPermitted}
                title={isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) })}
                onClick={() => setWanted({ keys: keys.length > 0 ? keys : undefined })}
              >
                {keys.length > 0 ? t("dns.history.rollbackSome", { count: chosen.size }) : t("dns.history.rollback")}
              </Button>
            )}
          </p>
          {canGoBack && to_id !== NOW && <p className="text-xs text-muted">{t("dns.history.rollbackFromNow")}</p>}
          <ul aria-label={t("dns.history.compareTitle")} className="divide-y divide-line rounded border border-line">
            {differences.slice(0, MAX_SHOWN).map((each) => (
              <li key={idOf(each)} className="flex flex-wrap items-baseline gap-x-3 gap-y-1 px-3 py-1.5">
                {canGoBack && (
                  <input
                    type="checkbox"
                    className="size-4 self-center accent-accent"
                    aria-label={t("containers.select", { name: visible(each.name) })}
                    checked={chosen.has(idOf(each))}
                    onChange={(event) => {
                      const next = new Set(chosen);
                      if (event.target.checked) next.add(idOf(each));
                      else next.delete(idOf(each));
                      setChosen(next);
                    }}
                  />
                )}
                <span className="min-w-0 flex-1 basis-40 font-medium">
                  <Quoted>{each.name}</Quoted>
                </span>
                <RecordChange before={each.before} after={each.after} isPast />
              </li>
            ))}
          </ul>
          {differences.length > MAX_SHOWN && <p className="text-muted">{t("plan.moreChanges", { count: differences.length - MAX_SHOWN })}</p>}
          {canGoBack && <CommandLine command={rollbackCommand(zone, from_id, keys)} />}
        </div>
      )}
      {/* It stays until it is closed, also when nothing differs any more. */}
      {wanted && (
        <Suspense>
          <PlanDialog
            title={t(wanted.keys ? "dns.history.rollbackSomeTitle" : "dns.history.rollbackTitle", { zone: visible(zone), time: absoluteTime(from_at) })}
            verb={t("dns.history.rollbackVerb")}
            isDangerous
            make={() => planRollback(zone, from_id, wanted.keys)}
            onApplied={() => setChosen(new Set())}
            onClose={() => setWanted(null)}
          />
        </Suspense>
      )}
    </>
  );
}
