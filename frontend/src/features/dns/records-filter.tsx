/** What narrows the list of records; all of it stands in the address. */

import { Columns3 } from "lucide-react";
import { useDeferredValue, useEffect, useEffectEvent, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { DropDown } from "@/components/drop-down";
import { FilterBox } from "@/components/field";
import { visible } from "@/lib/hostile-text";
import { keepColumns } from "@/lib/columns";
import { PROXIED, SHOWN, type ZoneSearch } from "@/lib/zone-search";

import { COLUMNS, columnsOf, PROPOSED } from "./records-table";
import type { RecordPage } from "./requests";

const SELECT = "target max-w-44 rounded border border-edge bg-panel px-2 py-1 text-sm";

export function RecordsFilter({ page, search, onSearch }: { page: RecordPage; search: ZoneSearch; onSearch: (change: Partial<ZoneSearch>) => void }): ReactNode {
  const { t } = useTranslation();
  const box = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(search.find ?? "");
  const wanted = useDeferredValue(text);
  const sent = useRef<string[]>([]); // what was typed here and has not come back in the address yet, in order
  const find = useEffectEvent((value: string) => {
    if (value === (sent.current.at(-1) ?? search.find ?? "")) return;
    sent.current.push(value);
    onSearch({ find: value || undefined });
  });
  useEffect(() => find(wanted), [wanted]);
  useEffect(() => {
    const found = search.find ?? "";
    const index = sent.current.indexOf(found);
    sent.current = index === -1 ? [] : sent.current.slice(index + 1); // the address may leave some of them out
    if (index === -1) setText(found); // it was reset, or gone back to; our own typing may be further by now
  }, [search.find]);
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || (event.target instanceof HTMLElement && event.target.matches("input, select, textarea"))) return;
      event.preventDefault();
      box.current?.focus();
    };
    window.addEventListener("keydown", listener);
    return () => window.removeEventListener("keydown", listener);
  }, []);
  const columns = columnsOf(search);
  return (
    <div className="flex flex-wrap items-center gap-2">
      <FilterBox ref={box} label={t("dns.filter.text")} className="max-w-72" value={text} onChange={(event) => setText(event.target.value)} />
      <select aria-label={t("dns.field.type")} className={SELECT} value={search.type ?? ""} onChange={(event) => onSearch({ type: event.target.value || undefined })}>
        <option value="">{t("dns.filter.anyType")}</option>
        {withChosen(page.types, search.type).map((type) => (
          <option key={type}>{type}</option>
        ))}
      </select>
      <select aria-label={t("dns.field.proxied")} className={SELECT} value={search.proxied ?? ""} onChange={(event) => onSearch({ proxied: PROXIED.find((each) => each === event.target.value) })}>
        <option value="">{t("dns.filter.anyProxied")}</option>
        {PROXIED.map((each) => (
          <option key={each} value={each}>
            {t(`dns.filter.proxied.${each}`)}
          </option>
        ))}
      </select>
      {(page.tags.length > 0 || search.tag !== undefined) && (
        <select aria-label={t("dns.field.tags")} className={SELECT} value={search.tag ?? ""} onChange={(event) => onSearch({ tag: event.target.value || undefined })}>
          <option value="">{t("dns.filter.anyTag")}</option>
          {withChosen(page.tags, search.tag).map((tag) => (
            <option key={tag} value={tag}>
              {visible(tag)}
            </option>
          ))}
        </select>
      )}
      {SHOWN.map((each) => (
        <button
          key={each}
          type="button"
          aria-pressed={search.show === each}
          className={buttonLook("plain", "aria-pressed:border-accent aria-pressed:bg-accent/12")}
          onClick={() => onSearch({ show: search.show === each ? undefined : each })}
        >
          {t(`dns.filter.show.${each}`)}
        </button>
      ))}
      <span className="ml-auto flex items-center gap-2">
        <span role="status" className="text-xs text-muted">
          {page.matching === page.total ? t("dns.count", { count: page.total }) : t("dns.countOf", { matching: page.matching, total: page.total })}
        </span>
        <DropDown label={t("dns.columns")} icon={<Columns3 size={14} aria-hidden />}>
          {COLUMNS.map((column) => (
            <label key={column} className="target flex items-center gap-2 rounded px-2 hover:bg-sunken">
              <input
                type="checkbox"
                className="size-4 accent-accent"
                checked={columns.includes(column)}
                disabled={columns.length === 1 && columns.includes(column)}
                onChange={(event) => {
                  const next = COLUMNS.filter((each) => (each === column ? event.target.checked : columns.includes(each)));
                  onSearch({ columns: keepColumns("records", next, PROPOSED), page: search.page });
                }}
              />
              {t(`dns.column.${column}`)}
            </label>
          ))}
        </DropDown>
      </span>
    </div>
  );
}

/** What is chosen can be seen and taken back, also where no record has it any more. */
function withChosen(known: readonly string[], chosen: string | undefined): readonly string[] {
  return chosen === undefined || known.includes(chosen) ? known : [...known, chosen];
}
