/** What a query has returned: rows with their types, what was cut, and which limit ended the reading. */

import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { bytes } from "@/lib/format";
import { visible } from "@/lib/hostile-text";

import { CellValue, isNumeric } from "../cell";
import type { QueryResult } from "./requests";

const STEP = 200; // rows that are drawn at once

export function ResultPanel({ result }: { result: QueryResult }): ReactNode {
  const { t } = useTranslation();
  const [shown, setShown] = useState(STEP);
  const { columns, rows, stopped_by, took_ms, warnings } = result;
  return (
    <Panel
      title={t("databases.console.result")}
      aside={
        <span role="status" className="text-xs text-muted">
          {t("databases.rows.count", { count: rows.length })} · {bytes(result.bytes)} · {t("databases.took", { ms: Math.round(took_ms) })}
        </span>
      }
    >
      {(stopped_by !== null || warnings.length > 0) && (
        <div className="flex flex-col gap-1 border-b border-line px-3 py-2 text-sm">
          {stopped_by !== null && (
            <Status tone="warn" wraps>
              {t(`databases.console.stopped.${stopped_by}`, { count: rows.length })}
            </Status>
          )}
          {warnings.map((each) => (
            <Status key={each} tone="warn" wraps>
              <span lang="en">
                <Quoted>{each}</Quoted>
              </span>
            </Status>
          ))}
        </div>
      )}
      {rows.length === 0 ? <Empty title={t("databases.console.noRows")} /> : <Grid result={result} shown={shown} />}
      {rows.length > shown && (
        <div className="border-t border-line p-2">
          <Button onClick={() => setShown(shown + STEP)}>{t("common.more")}</Button>
        </div>
      )}
      {columns.length > 0 && rows.length === 0 && <p className="border-t border-line px-3 py-1.5 font-mono text-xs text-muted">{columns.map(({ name }) => visible(name)).join(", ")}</p>}
    </Panel>
  );
}

function Grid({ result: { columns, rows, cut }, shown }: { result: QueryResult; shown: number }): ReactNode {
  const { t } = useTranslation();
  const lengths = new Map(cut.map(({ row, column, length }) => [`${row} ${column}`, length]));
  return (
    <div role="region" aria-label={t("databases.console.result")} tabIndex={0} className="relative max-h-[60dvh] overflow-auto">
      <table className="w-full border-collapse text-left text-[0.8125rem]">
        <caption className="sr-only">{t("databases.console.result")}</caption>
        <thead className="sticky top-0 z-10 bg-panel">
          <tr className="border-b border-line text-xs text-muted">
            {columns.map(({ name, kind }, index) => (
              // oxlint-disable-next-line react/no-array-index-key -- two columns may have one name
              <th key={index} scope="col" className={`px-3 py-1.5 font-medium whitespace-nowrap ${isNumeric(kind) ? "text-right" : ""}`}>
                {visible(name)}
                <span className="block font-normal">{t(`databases.cell.kind.${kind}`)}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, shown).map((row, number) => (
            // oxlint-disable-next-line react/no-array-index-key -- rows of a query have no other name
            <tr key={number} className="border-b border-line last:border-0 hover:bg-sunken/60">
              {row.map((value, column) => (
                // oxlint-disable-next-line react/no-array-index-key -- as its column
                <td key={column} className={`max-w-96 min-w-12 px-3 py-[var(--row)] align-top ${isNumeric(columns[column]?.kind ?? "text") ? "text-right" : ""}`}>
                  <CellValue value={value} kind={columns[column]?.kind} length={lengths.get(`${number} ${column}`) ?? null} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
