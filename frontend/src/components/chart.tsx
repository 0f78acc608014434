/**
 * A small chart of one or two series over time: SVG, so that colours follow the theme and nothing but numbers is drawn.
 * Series differ in dash as well as in colour. Beside it stand a sentence that sums it up and a table with the values.
 */

import { useId, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { absoluteTime } from "@/lib/format";

import { Button } from "./button";

export interface Series {
  name: string;
  values: readonly (number | null)[];
}

const WIDTH = 600;
const HEIGHT = 120;
const LOOKS = ["stroke-accent", "stroke-warn [stroke-dasharray:5_3]"] as const;
const TABLE_ROWS = 60;

export function Chart({
  title,
  summary,
  times,
  series,
  format,
  floor,
}: {
  title: string;
  summary: string;
  times: readonly number[];
  series: readonly Series[];
  format: (value: number) => string;
  floor: number; // the scale ends no lower: noise is not drawn as mountains
}): ReactNode {
  const { t } = useTranslation();
  const id = useId();
  const [asTable, setAsTable] = useState(false);
  const top = Math.max(floor, ...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const [from = 0, to = 1] = [times[0], times.at(-1)];
  return (
    <section aria-labelledby={id} className="min-w-0 rounded-lg border border-line bg-panel">
      <header className="flex min-h-11 flex-wrap items-center justify-between gap-2 border-b border-line px-3 py-1">
        <h2 id={id} className="text-sm font-semibold">
          {title}
        </h2>
        <Button look="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          {t(asTable ? "chart.asChart" : "chart.asTable")}
        </Button>
      </header>
      <p className="px-3 pt-2 text-sm">{summary}</p>
      {asTable ? (
        <div className="max-h-64 overflow-auto px-3 pb-3" tabIndex={0} role="region" aria-labelledby={id}>
          <table className="w-full text-left text-xs">
            <caption className="sr-only">{title}</caption>
            <thead>
              <tr className="text-muted">
                <th scope="col" className="py-1 font-medium">
                  {t("audit.time")}
                </th>
                {series.map(({ name }) => (
                  <th key={name} scope="col" className="py-1 text-right font-medium">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {times
                .map((time, index) => [time, index] as const)
                .slice(-TABLE_ROWS)
                .toReversed()
                .map(([time, index]) => (
                  <tr key={time} className="border-t border-line">
                    <td className="py-0.5">{absoluteTime(time, { zone: false })}</td>
                    {series.map(({ name, values }) => (
                      <td key={name} className="text-right">
                        {values[index] == null ? "–" : format(values[index])}
                      </td>
                    ))}
                  </tr>
                ))}
            </tbody>
          </table>
        </div>
      ) : (
        <div className="p-3">
          <div className="flex justify-between text-xs text-muted">
            <span>{format(top)}</span>
            {series.length > 1 && (
              <span className="flex gap-3">
                {series.map(({ name }, index) => (
                  <span key={name} className="inline-flex items-center gap-1">
                    <svg width="20" height="4" aria-hidden>
                      <line x1="0" y1="2" x2="20" y2="2" strokeWidth="2" className={LOOKS[index % LOOKS.length]} />
                    </svg>
                    {name}
                  </span>
                ))}
              </span>
            )}
          </div>
          <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" className="h-28 w-full" aria-hidden>
            {[0, 0.5, 1].map((level) => (
              <line key={level} x1="0" x2={WIDTH} y1={1 + level * (HEIGHT - 2)} y2={1 + level * (HEIGHT - 2)} className="stroke-line" vectorEffect="non-scaling-stroke" />
            ))}
            {series.map(({ name, values }, index) => (
              <path key={name} d={path(times, values, from, to, top)} fill="none" strokeWidth="1.5" vectorEffect="non-scaling-stroke" className={LOOKS[index % LOOKS.length]} />
            ))}
          </svg>
          <div className="flex justify-between text-xs text-muted">
            <span>{times.length > 0 && absoluteTime(from, { zone: false }).slice(11)}</span>
            <span>{times.length > 0 && absoluteTime(to).slice(11)}</span>
          </div>
        </div>
      )}
    </section>
  );
}

/** What is not known is a gap, never a line to zero. */
function path(times: readonly number[], values: readonly (number | null)[], from: number, to: number, top: number): string {
  let isDrawing = false;
  return times
    .map((time, index) => {
      const value = values[index];
      if (value == null) {
        isDrawing = false;
        return "";
      }
      const x = ((time - from) / Math.max(1, to - from)) * WIDTH;
      const y = 1 + (1 - value / top) * (HEIGHT - 2);
      const point = `${isDrawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      isDrawing = true;
      return point;
    })
    .join("");
}
