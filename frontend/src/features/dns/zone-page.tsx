/** The records of one zone: found, filtered and sorted by the portal, page by page; acts on one or on many, as plans. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Download, Plus, RefreshCw } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { ConnectionNotice } from "@/components/cloudflare-notice";
import { CommandLine } from "@/components/copy";
import { DropDown } from "@/components/drop-down";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { withTexts } from "@/lib/language";
import { usePermission } from "@/lib/permission";
import { isProblem } from "@/lib/problem";
import type { ZoneSearch } from "@/lib/zone-search";

import { exportCommand, listCommand, readCommand } from "./command-lines";
import { useDnsNews } from "./news";
import { RecordsFilter } from "./records-filter";
import { RecordsTable } from "./records-table";
import { dnsQuery, DNS, exportAddress, PAGE_SIZE, readZoneNow, recordsQuery, type RecordPage as Data, type RecordView, type ZoneView } from "./requests";
import { ZoneTabs } from "./tabs";
import { UnfinishedNotices } from "./unfinished";
import { isOutage, isOutOfReach, ReadAt, ZoneStatus } from "./zone-state";

// Of a first load, whoever selects or edits pays for it.
const RecordBulkBar = lazy(async () => ({ default: (await import("./record-bulk-bar")).RecordBulkBar }));
const RecordDialog = lazy(() => withTexts(import("./record-dialog"), "records"));

const route = getRouteApi("/dns/$zone");

export function ZonePage(): ReactNode {
  const { t } = useTranslation();
  const { zone } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(recordsQuery(zone, search));
  const { data: overview } = useQuery(dnsQuery);
  useDnsNews();
  const read = useAct(() => readZoneNow(zone), { refreshes: [DNS] });
  const data = query.data;
  const isUnconnected = isProblem(query.error, "cloudflare-not-configured");
  return (
    <Page
      key={zone}
      title={data ? visible(data.zone.unicode_name) : zone}
      lead={
        <>
          <Link to="/dns" className="hover:underline">
            ← {t("dns.tabs.zones")}
          </Link>
          {data && data.zone.unicode_name !== zone && (
            <>
              {" · "}
              <Quoted mono>{zone}</Quoted>
            </>
          )}
        </>
      }
      aside={
        data && (
          <ZoneActs
            zone={data.zone}
            isStale={isOutOfReach(data.connection, data.zone)}
            read={read}
            onNew={() => void navigate({ search: (now) => ({ ...now, ask: "new" }), replace: true })}
          />
        )
      }
    >
      <ZoneTabs zone={zone} now="records" drift={data?.zone.drift} />
      {read.error && <InlineError error={read.error} />}
      <UnfinishedNotices unfinished={overview?.unfinished.filter((each) => each.zone === zone) ?? []} />
      {isUnconnected && overview && <ConnectionNotice connection={overview.connection} />}
      {!isUnconnected && (
        <QueryView query={query} rows={14}>
          {(page) => <Records key={zone} zone={zone} page={page} search={search} onSearch={(change) => void navigate({ search: (now) => ({ ...now, page: undefined, ...change }), replace: true })} />}
        </QueryView>
      )}
      <CommandLine command={listCommand(zone, search)} />
      <CommandLine command={readCommand(zone)} />
      {search.ask === "new" && (
        <Suspense>
          <RecordDialog zone={zone} record={null} onClose={() => void navigate({ search: (now) => ({ ...now, ask: undefined }), replace: true })} />
        </Suspense>
      )}
    </Page>
  );
}

function ZoneActs({ zone, isStale, read, onNew }: { zone: ZoneView; isStale: boolean; read: { isPending: boolean; mutate: () => void }; onNew: () => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const mayRead = usePermission("dns:refresh").isPermitted;
  const mayExport = usePermission("dns:export").isPermitted;
  const why = isStale ? t("dns.staleActs") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : undefined;
  return (
    <>
      <span className="flex items-center gap-2 text-xs">
        <ZoneStatus zone={zone} />
        <ReadAt zone={zone} withWord />
      </span>
      {mayRead && (
        <Button busy={read.isPending} onClick={() => read.mutate()}>
          <RefreshCw size={14} aria-hidden />
          {t("dns.readNow")}
        </Button>
      )}
      {mayExport && (
        <DropDown label={t("dns.export.verb")} icon={<Download size={14} aria-hidden />}>
          {(["bind", "csv", "json"] as const).map((format) => (
            <a key={format} href={exportAddress(zone.name, format)} download className="target rounded px-2 py-1 hover:bg-sunken">
              {t(`dns.format.${format}`)}
            </a>
          ))}
          <CommandLine command={exportCommand(zone.name)} />
        </DropDown>
      )}
      <Button look="primary" disabled={why !== undefined} title={why} onClick={onNew}>
        <Plus size={14} aria-hidden />
        {t("dns.record.new")}
      </Button>
    </>
  );
}

function Records({ zone, page, search, onSearch }: { zone: string; page: Data; search: ZoneSearch; onSearch: (change: Partial<ZoneSearch>) => void }): ReactNode {
  const { t } = useTranslation();
  const [selected, setSelected] = useState<ReadonlyMap<string, RecordView>>(new Map());
  const [hasSelected, setHasSelected] = useState(false); // at any time: its dialogs stay when nothing is selected any more
  const { find, type, proxied, tag, show } = search;
  const isFiltered = [find, type, proxied, tag, show].some((each) => each !== undefined);
  const isStale = isOutOfReach(page.connection, page.zone);
  const reset = (): void => onSearch({ find: undefined, type: undefined, proxied: undefined, tag: undefined, show: undefined });
  const toggle = (records: readonly RecordView[], isOn: boolean): void => {
    const next = new Map(selected);
    for (const each of records) {
      if (isOn) next.set(each.key, each);
      else next.delete(each.key);
    }
    setSelected(next);
    setHasSelected(true);
  };
  return (
    <div className="flex flex-col gap-4">
      <ConnectionNotice connection={page.connection} readAt={isStale ? page.zone.read_at : null} />
      {!isOutage(page.connection) && page.zone.error !== null && (
        <p className="text-sm text-warn">
          {t("dns.zoneError")} <Quoted>{page.zone.error}</Quoted>
        </p>
      )}
      <RecordsFilter page={page} search={search} onSearch={onSearch} />
      {hasSelected && (
        <Suspense>
          <RecordBulkBar zone={zone} records={[...selected.values()]} isStale={isStale} onClear={() => setSelected(new Map())} />
        </Suspense>
      )}
      <div className="rounded-lg border border-line bg-panel">
        {page.records.length === 0 ? (
          page.zone.read_at === null ? (
            <Empty title={t("dns.unread")}>{t("dns.unreadWhy")}</Empty>
          ) : (
            <Empty title={t(isFiltered ? "common.nothingMatches" : "dns.empty")} action={isFiltered && <Button onClick={reset}>{t("common.resetFilter")}</Button>}>
              {!isFiltered && t("dns.emptyWhy")}
            </Empty>
          )
        ) : (
          <RecordsTable zone={zone} page={page} search={search} isStale={isStale} selected={selected} onToggle={toggle} onSearch={onSearch} />
        )}
        <Pages page={search.page ?? 1} matching={page.matching} onPage={(number) => onSearch({ page: number > 1 ? number : undefined })} />
      </div>
    </div>
  );
}

function Pages({ page, matching, onPage }: { page: number; matching: number; onPage: (page: number) => void }): ReactNode {
  const { t } = useTranslation();
  const last = Math.max(1, Math.ceil(matching / PAGE_SIZE));
  if (last === 1 && page === 1) return null;
  return (
    <nav aria-label={t("dns.pages.label")} className="flex flex-wrap items-center justify-end gap-2 border-t border-line p-2 text-sm">
      <span className="text-xs text-muted">{t("dns.pages.of", { page, last })}</span>
      <Button disabled={page <= 1} title={page <= 1 ? t("dns.pages.isFirst") : undefined} onClick={() => onPage(Math.min(page, last + 1) - 1)}>
        {t("dns.pages.previous")}
      </Button>
      <Button disabled={page >= last} title={page >= last ? t("dns.pages.isLast") : undefined} onClick={() => onPage(page + 1)}>
        {t("dns.pages.next")}
      </Button>
    </nav>
  );
}
