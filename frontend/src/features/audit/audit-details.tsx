import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CopyButton } from "@/components/copy";
import { Fact, Facts } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { visible } from "@/lib/hostile-text";

import type { AuditEntry } from "./requests";

export function AuditDetails({ entry }: { entry: AuditEntry }): ReactNode {
  const { t } = useTranslation();
  const changes = changed(entry.before, entry.after);
  return (
    <div className="flex flex-col gap-2 rounded border border-line bg-sunken">
      <Facts>
        {entry.detail && (
          <Fact name={t("audit.detail")}>
            <Quoted>{entry.detail}</Quoted>
          </Fact>
        )}
        <Fact name={t("common.requestId")}>
          <span className="inline-flex items-center gap-1">
            <Quoted mono>{entry.request_id}</Quoted>
            <CopyButton text={entry.request_id} />
          </span>
        </Fact>
        {entry.operation_id && (
          <Fact name={t("audit.operation")}>
            <Link to="/operations/$id" params={{ id: entry.operation_id }} className="font-mono text-[0.92em] underline">
              {entry.operation_id}
            </Link>
          </Fact>
        )}
        <Fact name={t("audit.hash", { number: entry.sequence })}>
          <Quoted mono>{entry.hash}</Quoted>
        </Fact>
      </Facts>
      {changes.length > 0 && (
        <table className="m-3 mt-0 border-collapse text-xs">
          <caption className="sr-only">{t("audit.changes")}</caption>
          <thead>
            <tr className="border-b border-line text-left text-muted">
              <th scope="col" className="py-1 pr-4 font-medium">
                {t("audit.field")}
              </th>
              <th scope="col" className="py-1 pr-4 font-medium">
                {t("audit.before")}
              </th>
              <th scope="col" className="py-1 font-medium">
                {t("audit.after")}
              </th>
            </tr>
          </thead>
          <tbody>
            {changes.map(({ field, before, after }) => (
              <tr key={field} className="align-top">
                <th scope="row" className="py-1 pr-4 font-normal">
                  <Quoted>{field}</Quoted>
                </th>
                <td className="quoted py-1 pr-4 font-mono">{before}</td>
                <td className={`quoted py-1 font-mono ${before === after ? "" : "font-semibold"}`}>{after}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

interface Change {
  field: string;
  before: string;
  after: string;
}

/** The members of both documents, side by side; what is none is one nameless member. */
export function changed(before: unknown, after: unknown): readonly Change[] {
  const was = members(before);
  const is = members(after);
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].map((field) => ({ field, before: written(was[field]), after: written(is[field]) }));
}

function members(value: unknown): Record<string, unknown> {
  if (value === null || value === undefined) return {};
  return typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : { "": value };
}

function written(value: unknown): string {
  return value === undefined ? "" : visible(typeof value === "string" ? value : JSON.stringify(value));
}
