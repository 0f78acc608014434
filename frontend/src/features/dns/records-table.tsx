import { Link } from "@tanstack/react-router";
import { ArrowDown, ArrowUp, Cloud, Lock, Pencil, Trash2 } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { IconButton } from "@/components/button";
import { Quoted } from "@/components/quoted";
import { Ttl } from "@/components/record-field";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { chosenColumns } from "@/lib/columns";
import { visible } from "@/lib/hostile-text";
import { withTexts } from "@/lib/language";
import { usePermission } from "@/lib/permission";
import { contentText, shortName } from "@/lib/records";
import type { ZoneSearch } from "@/lib/zone-search";

import { planEdits, type RecordPage, type RecordView } from "./requests";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));
const RecordDialog = lazy(() => withTexts(import("./record-dialog"), "records"));

export const COLUMNS = ["type", "name", "content", "ttl", "proxied", "comment", "tags", "modified_on"] as const;
export type RecordColumn = (typeof COLUMNS)[number];
export const PROPOSED: readonly RecordColumn[] = ["type", "name", "content", "ttl", "proxied", "comment"];

export const columnsOf = ({ columns }: ZoneSearch): readonly RecordColumn[] => chosenColumns("records", COLUMNS, PROPOSED, columns);

/** Shown from this width on; what is left out below stands under the name. */
const FROM: Partial<Record<RecordColumn, string>> = {
  type: "hidden sm:table-cell",
  content: "hidden md:table-cell",
  ttl: "hidden lg:table-cell",
  proxied: "hidden lg:table-cell",
  comment: "hidden xl:table-cell",
  tags: "hidden lg:table-cell",
  modified_on: "hidden lg:table-cell",
};
const HEAD = "px-2 py-1.5 font-medium whitespace-nowrap";
const CELL = "px-2 py-[var(--row)] align-middle";

interface Asked {
  act: "edit" | "delete";
  record: RecordView;
}

export function RecordsTable({
  zone,
  page,
  search,
  isStale,
  selected,
  onToggle,
  onSearch,
}: {
  zone: string;
  page: RecordPage;
  search: ZoneSearch;
  isStale: boolean;
  selected: ReadonlyMap<string, RecordView>;
  onToggle: (records: readonly RecordView[], isOn: boolean) => void;
  onSearch: (change: Partial<ZoneSearch>) => void;
}): ReactNode {
  const { t } = useTranslation();
  const [asked, setAsked] = useState<Asked | null>(null);
  const columns = columnsOf(search);
  const free = page.records.filter(({ is_locked }) => !is_locked);
  const isAll = free.length > 0 && free.every(({ key }) => selected.has(key));
  const caption = t("dns.recordsOf", { zone: visible(page.zone.unicode_name) });
  return (
    <>
      {/* It scrolls by itself, in both directions, so that its head can stay. */}
      <div role="region" aria-label={caption} tabIndex={0} className="relative max-h-[max(20rem,calc(100dvh-9rem))] scroll-pt-10 overflow-auto rounded-t-lg">
        <table className="w-full border-collapse text-left text-[0.8125rem]">
          <caption className="sr-only">{caption}</caption>
          <thead className="sticky top-0 z-1 bg-panel shadow-[0_1px_0_var(--color-line)]">
            <tr className="border-b border-line text-xs text-muted">
              <th scope="col" className="w-9 py-1.5 pl-3">
                <input type="checkbox" className="size-4 align-middle accent-accent" aria-label={t("dns.selectPage")} checked={isAll} disabled={free.length === 0} title={free.length === 0 ? t("dns.lockedWhy") : undefined} onChange={() => onToggle(free, !isAll)} />
              </th>
              {columns.map((column) => (
                <Head key={column} column={column} search={search} onSearch={onSearch} />
              ))}
              <th scope="col" className={`${HEAD} text-right`}>
                <span className="sr-only">{t("containers.acts")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {page.records.map((record) => (
              <Row
                key={record.key}
                zone={zone}
                unicodeZone={page.zone.unicode_name}
                record={record}
                columns={columns}
                isStale={isStale}
                isDrifted={page.drifted.includes(record.key)}
                isSelected={selected.has(record.key)}
                onToggle={(isOn) => onToggle([record], isOn)}
                onAsk={(act) => setAsked({ act, record })}
              />
            ))}
          </tbody>
        </table>
      </div>
      <Suspense>
        {asked?.act === "edit" && <RecordDialog zone={zone} record={asked.record} onClose={() => setAsked(null)} />}
        {asked?.act === "delete" && <DeleteDialog zone={zone} record={asked.record} onClose={() => setAsked(null)} />}
      </Suspense>
    </>
  );
}

export function DeleteDialog({ zone, record, onClose, onApplied }: { zone: string; record: RecordView; onClose: () => void; onApplied?: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <PlanDialog
      title={t("dns.record.deleteTitle", { name: visible(`${record.type} ${record.unicode_name}`) })}
      verb={t("common.delete")}
      isDangerous
      make={() => planEdits(zone, [{ act: "delete", key: record.key }])}
      onApplied={onApplied}
      onClose={onClose}
    />
  );
}

function Head({ column, search, onSearch }: { column: RecordColumn; search: ZoneSearch; onSearch: (change: Partial<ZoneSearch>) => void }): ReactNode {
  const { t } = useTranslation();
  const isSorted = (search.sort ?? "name") === column;
  const look = `${HEAD} ${FROM[column] ?? ""} ${column === "ttl" ? "text-right" : ""}`;
  if (column === "tags") {
    return (
      <th scope="col" className={look}>
        {t(`dns.column.${column}`)}
      </th>
    );
  }
  const Icon = search.down ? ArrowDown : ArrowUp;
  return (
    <th scope="col" className={look} aria-sort={isSorted ? (search.down ? "descending" : "ascending") : "none"}>
      <button type="button" className={`target inline-flex items-center gap-1 hover:text-ink ${column === "ttl" ? "flex-row-reverse" : ""}`} onClick={() => onSearch({ sort: column === "name" ? undefined : column, down: isSorted && !search.down ? true : undefined })}>
        {t(`dns.column.${column}`)}
        <Icon size={12} aria-hidden className={isSorted ? "" : "invisible"} />
      </button>
    </th>
  );
}

function Row({
  zone,
  unicodeZone,
  record,
  columns,
  isStale,
  isDrifted,
  isSelected,
  onToggle,
  onAsk,
}: {
  zone: string;
  unicodeZone: string;
  record: RecordView;
  columns: readonly RecordColumn[];
  isStale: boolean;
  isDrifted: boolean;
  isSelected: boolean;
  onToggle: (isOn: boolean) => void;
  onAsk: (act: Asked["act"]) => void;
}): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const name = visible(`${record.type} ${record.unicode_name}`);
  const why = record.is_locked ? t("dns.lockedWhy") : isStale ? t("dns.staleActs") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : null;
  return (
    <tr className={`border-b border-line last:border-0 hover:bg-sunken/60 ${isSelected ? "bg-accent/8" : ""}`}>
      <td className="pl-3">
        <input
          type="checkbox"
          className="size-4 align-middle accent-accent"
          aria-label={t("containers.select", { name })}
          checked={isSelected}
          disabled={record.is_locked}
          title={record.is_locked ? t("dns.lockedWhy") : undefined}
          onChange={(event) => onToggle(event.target.checked)}
        />
      </td>
      {columns.map((column) => {
        const look = `${CELL} ${FROM[column] ?? ""} ${column === "ttl" ? "text-right whitespace-nowrap" : ""}`;
        return column === "name" ? (
          <th key={column} scope="row" className={`${look} min-w-32 font-normal`}>
            <Name zone={zone} unicodeZone={unicodeZone} record={record} isDrifted={isDrifted} />
          </th>
        ) : (
          <td key={column} className={look}>
            <Cell column={column} record={record} />
          </td>
        );
      })}
      <td className="py-0.5 pr-2">
        <RowActs name={name} why={why} onAsk={onAsk} />
      </td>
    </tr>
  );
}

/** `why`: why nothing can be done with it; null when it can. */
function RowActs({ name, why, onAsk }: { name: string; why: string | null; onAsk: (act: Asked["act"]) => void }): ReactNode {
  const { t } = useTranslation();
  const label = (act: string): string => (why === null ? act : `${act}: ${why}`);
  return (
    <span className="flex items-center justify-end">
      <IconButton label={label(t("dns.record.edit", { name }))} disabled={why !== null} onClick={() => onAsk("edit")}>
        <Pencil size={15} aria-hidden />
      </IconButton>
      <IconButton label={label(t("dns.record.delete", { name }))} disabled={why !== null} onClick={() => onAsk("delete")}>
        <Trash2 size={15} aria-hidden />
      </IconButton>
    </span>
  );
}

function Name({ zone, unicodeZone, record, isDrifted }: { zone: string; unicodeZone: string; record: RecordView; isDrifted: boolean }): ReactNode {
  const { t } = useTranslation();
  const { key, name, unicode_name, type, is_locked } = record;
  const unicode = shortName(unicode_name, unicodeZone);
  return (
    <>
      <span className="flex min-w-0 flex-wrap items-center gap-x-1.5">
        <span className="font-mono text-[0.92em] text-muted sm:hidden">{type}</span>
        <Link to="/dns/$zone/record" params={{ zone }} search={{ key }} className="min-w-0 font-medium hover:underline" title={visible(name)}>
          <Quoted>{shortName(name, zone)}</Quoted>
        </Link>
        {is_locked && <Lock size={13} role="img" aria-label={t("dns.locked")} className="shrink-0 text-muted" />}
        {isDrifted && <Status tone="warn">{t("dns.drift.badge")}</Status>}
      </span>
      {unicode !== shortName(name, zone) && (
        <span className="block text-xs text-muted">
          <Quoted>{unicode}</Quoted>
        </span>
      )}
      <span className="line-clamp-2 text-xs text-muted md:hidden">
        <Content record={record} />
      </span>
    </>
  );
}

function Cell({ column, record }: { column: Exclude<RecordColumn, "name">; record: RecordView }): ReactNode {
  const { t } = useTranslation();
  switch (column) {
    case "type":
      return <span className="font-mono text-[0.92em]">{record.type}</span>;
    case "content":
      return (
        <span className="line-clamp-2 min-w-40">
          <Content record={record} />
        </span>
      );
    case "ttl":
      return <Ttl seconds={record.ttl} />;
    case "proxied":
      return record.proxied ? (
        <span className="inline-flex items-center gap-1 align-middle whitespace-nowrap">
          <Cloud size={14} aria-hidden className="text-accent" />
          {t("dns.proxied.yes")}
        </span>
      ) : (
        <span className="text-muted">{t("dns.proxied.no")}</span>
      );
    case "comment":
      return record.comment ? (
        <span className="line-clamp-2 text-muted">
          <Quoted>{record.comment}</Quoted>
        </span>
      ) : (
        "–"
      );
    case "tags":
      return record.tags.length > 0 ? <Quoted>{record.tags.join(t("common.listSeparator"))}</Quoted> : "–";
    case "modified_on":
      return record.modified_on ? <Time value={record.modified_on} /> : "–";
  }
}

const MAX_CHARACTERS = 300; // of a cell that shows two lines; the record's page has the rest

function Content({ record }: { record: RecordView }): ReactNode {
  const text = contentText({ ...record });
  return <Quoted mono>{text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text}</Quoted>;
}
