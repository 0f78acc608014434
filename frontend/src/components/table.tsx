/**
 * Tables: real ones, with a caption, a head that stays, and cells that keep what belongs together on one line. On a
 * narrow screen the table scrolls sideways inside its own frame; columns that can be spared leave (`spare`).
 */

import type { ReactNode } from "react";

export interface Column<T> {
  key: string;
  head: string;
  cell: (row: T) => ReactNode;
  align?: "right";
  spare?: "md" | "lg" | "xl"; // shown from this width on
}

const FROM: Record<NonNullable<Column<unknown>["spare"]>, string> = { md: "hidden md:table-cell", lg: "hidden lg:table-cell", xl: "hidden xl:table-cell" };

export function Table<T>({
  caption,
  columns,
  rows,
  rowKey,
}: {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string | number;
}): ReactNode {
  return (
    <div role="region" aria-label={caption} tabIndex={0} className="relative overflow-x-auto">
      <table className="w-full border-collapse text-left text-[0.8125rem]">
        <caption className="sr-only">{caption}</caption>
        <thead>
          <tr className="border-b border-line text-xs text-muted">
            {columns.map(({ key, head, align, spare }) => (
              <th key={key} scope="col" className={`px-3 py-1.5 font-medium whitespace-nowrap ${align ? "text-right" : ""} ${spare ? FROM[spare] : ""}`}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} className="border-b border-line last:border-0 hover:bg-sunken/60">
              {columns.map(({ key, cell, align, spare }) => (
                <td key={key} className={`px-3 py-[var(--row)] align-middle ${align ? "text-right" : ""} ${spare ? FROM[spare] : ""}`}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
