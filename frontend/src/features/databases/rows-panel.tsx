/** The rows of a table: sorted and filtered by the server, page after page; NULL shows, long cells say how long. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { ArrowDown, ArrowUp, ListFilterPlus, X } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, IconButton } from "@/components/button";
import { SelectField, TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { Empty, ErrorBox, Skeleton } from "@/components/states";
import { visible } from "@/lib/hostile-text";
import { FILTER_KINDS, type FilterKind, type RowFilter, type RowSearch } from "@/lib/row-search";

import { CellValue } from "./cell";
import { rowsQuery, type RowPage, type TableView } from "./requests";

type OnSearch = (change: Partial<RowSearch>) => void;

export default function RowsPanel({ view, search, onSearch }: { view: TableView; search: RowSearch; onSearch: OnSearch }): ReactNode {
  const { t } = useTranslation();
  const { server, database, table } = view;
  const query = useInfiniteQuery(rowsQuery(server, database, table.name, search));
  const pages = query.data?.pages ?? [];
  const [first] = pages;
  const count = pages.reduce((sum, { rows }) => sum + rows.length, 0);
  return (
    <Panel
      title={t("databases.tabs.rows")}
      aside={
        first && (
          <span className="text-xs text-muted" aria-live="polite">
            {t("databases.rows.count", { count })}
            {first.estimated_rows !== null && !search.where && ` · ${t("databases.rows.ofAbout", { count: first.estimated_rows })}`}
            {` · ${t("databases.took", { ms: Math.round(pages.at(-1)?.took_ms ?? 0) })}`}
          </span>
        )
      }
    >
      <Filters view={view} where={search.where ?? []} onSearch={onSearch} />
      {query.error && <ErrorBox error={query.error} onRetry={() => void (first ? query.fetchNextPage() : query.refetch())} />}
      {!first ? (
        !query.error && <Skeleton rows={12} />
      ) : count === 0 ? (
        search.where ? (
          <Empty title={t("common.nothingMatches")} action={<Button onClick={() => onSearch({ where: undefined })}>{t("common.resetFilter")}</Button>} />
        ) : (
          <Empty title={t("databases.rows.empty")} />
        )
      ) : (
        <Rows view={view} pages={pages} search={search} onSearch={onSearch} />
      )}
      {query.hasNextPage && (
        <div className="border-t border-line p-2">
          <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {t("common.more")}
          </Button>
        </div>
      )}
    </Panel>
  );
}

function Rows({ view, pages, search, onSearch }: { view: TableView; pages: readonly RowPage[]; search: RowSearch; onSearch: OnSearch }): ReactNode {
  const { t } = useTranslation();
  const columns = pages[0]?.columns ?? [];
  const sortable = new Set(view.columns.filter(({ can_sort }) => can_sort).map(({ name }) => name));
  const caption = t("databases.rows.of", { table: visible(view.table.name) });
  return (
    <div role="region" aria-label={caption} tabIndex={0} className="relative max-h-[70dvh] overflow-auto">
      <table className="w-full border-collapse text-left text-[0.8125rem]">
        <caption className="sr-only">{caption}</caption>
        <thead className="sticky top-0 z-10 bg-panel">
          <tr className="border-b border-line text-xs text-muted">
            {columns.map((column) => (
              <Head key={column} column={column} canSort={sortable.has(column)} search={search} sortedBy={pages[0]?.sort ?? null} onSearch={onSearch} />
            ))}
          </tr>
        </thead>
        <tbody>
          {pages.flatMap(({ rows }, page) =>
            rows.map((row, number) => (
              // oxlint-disable-next-line react/no-array-index-key -- a row of a table without a key is known by nothing else
              <tr key={`${page} ${number}`} className="border-b border-line last:border-0 hover:bg-sunken/60">
                {row.map((value, index) => (
                  <td key={columns[index]} className={`max-w-96 min-w-16 px-3 py-[var(--row)] align-top ${typeof value === "number" ? "text-right" : ""}`}>
                    <CellValue value={value} />
                  </td>
                ))}
              </tr>
            )),
          )}
        </tbody>
      </table>
    </div>
  );
}

function Head({ column, canSort, search, sortedBy, onSearch }: { column: string; canSort: boolean; search: RowSearch; sortedBy: string | null; onSearch: OnSearch }): ReactNode {
  const isSorted = (search.sort ?? sortedBy) === column;
  const look = "px-3 py-1.5 font-medium whitespace-nowrap";
  if (!canSort) {
    return (
      <th scope="col" className={look}>
        {visible(column)}
      </th>
    );
  }
  const Icon = search.down ? ArrowDown : ArrowUp;
  return (
    <th scope="col" className={look} aria-sort={isSorted ? (search.down ? "descending" : "ascending") : "none"}>
      <button type="button" className="target inline-flex items-center gap-1 hover:text-ink" onClick={() => onSearch({ sort: column, down: isSorted && !search.down ? true : undefined })}>
        {visible(column)}
        <Icon size={12} aria-hidden className={isSorted ? "" : "invisible"} />
      </button>
    </th>
  );
}

const VALUELESS: ReadonlySet<FilterKind> = new Set<FilterKind>(["null", "not-null"]);

function Filters({ view, where, onSearch }: { view: TableView; where: readonly RowFilter[]; onSearch: OnSearch }): ReactNode {
  const { t } = useTranslation();
  const columns = view.columns.filter(({ can_sort }) => can_sort);
  const [column, setColumn] = useState("");
  const [is, setIs] = useState<FilterKind>("=");
  const [value, setValue] = useState("");
  const chosen = column || (columns[0]?.name ?? "");
  return (
    <div className="flex flex-col gap-2 border-b border-line p-3">
      <form
        aria-label={t("databases.filter.title")}
        className="flex flex-wrap items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          if (chosen === "") return;
          onSearch({ where: [...where, { column: chosen, is, value: VALUELESS.has(is) ? "" : value }] });
          setValue("");
        }}
      >
        <div className="w-44 max-w-full">
          <SelectField label={t("databases.filter.column")} value={chosen} onChange={(event) => setColumn(event.target.value)}>
            {columns.map(({ name }) => (
              <option key={name} value={name}>
                {visible(name)}
              </option>
            ))}
          </SelectField>
        </div>
        <div className="w-36">
          <SelectField label={t("databases.filter.is")} value={is} onChange={(event) => setIs(FILTER_KINDS.find((each) => each === event.target.value) ?? "=")}>
            {FILTER_KINDS.map((each) => (
              <option key={each} value={each}>
                {wordOf(each, t)}
              </option>
            ))}
          </SelectField>
        </div>
        {!VALUELESS.has(is) && (
          <div className="w-52 max-w-full">
            <TextField label={t("databases.filter.value")} spellCheck={false} maxLength={1000} value={value} onChange={(event) => setValue(event.target.value)} />
          </div>
        )}
        <Button type="submit">
          <ListFilterPlus size={14} aria-hidden />
          {t("databases.filter.add")}
        </Button>
      </form>
      {where.length > 0 && (
        <ul aria-label={t("databases.filter.title")} className="flex flex-wrap gap-2 text-sm">
          {where.map((each, index) => {
            const text = [visible(each.column), wordOf(each.is, t), VALUELESS.has(each.is) ? "" : `“${visible(each.value)}”`].filter(Boolean).join(" ");
            return (
              <li key={text} className="flex items-center gap-1 rounded border border-line bg-sunken pl-2">
                <span className="quoted">{text}</span>
                <IconButton label={t("databases.filter.remove", { filter: text })} onClick={() => onSearch({ where: where.length > 1 ? where.filter((_, other) => other !== index) : undefined })}>
                  <X size={13} aria-hidden />
                </IconButton>
              </li>
            );
          })}
        </ul>
      )}
    </div>
  );
}

const WORDS = { contains: "databases.filter.contains", "starts-with": "databases.filter.startsWith", null: "databases.filter.null", "not-null": "databases.filter.notNull" } as const;

/** Signs stay as they are. */
function wordOf(kind: FilterKind, t: (key: (typeof WORDS)[keyof typeof WORDS]) => string): string {
  return kind === "contains" || kind === "starts-with" || kind === "null" || kind === "not-null" ? t(WORDS[kind]) : kind;
}
