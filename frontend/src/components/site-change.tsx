/** What a plan changes of a site: states and versions in words, tables that are rewritten, and what suffers. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { visible } from "@/lib/hostile-text";

import { Quoted } from "./quoted";
import { Status } from "./status";

const MAX_TABLES = 200;

/** Of {state, version}, {version} or {replacements, tables}. */
export default function SiteValue({ value }: { value: Readonly<Record<string, unknown>> }): ReactNode {
  const { t, i18n } = useTranslation();
  if ("replacements" in value) return <Replacements count={Number(value["replacements"])} tables={value["tables"]} />;
  const { state, version } = value;
  const key = `wordpress.extension.${String(state)}`;
  return (
    <span className="inline-flex flex-wrap items-baseline gap-x-1.5">
      {typeof state === "string" && <span>{i18n.exists(key) ? t(key as "wordpress.extension.active") : visible(state)}</span>}
      {typeof version === "string" && version !== "" && <Quoted mono>{version}</Quoted>}
    </span>
  );
}

function Replacements({ count, tables }: { count: number; tables: unknown }): ReactNode {
  const { t } = useTranslation();
  const rows = typeof tables === "object" && tables !== null ? Object.entries(tables as Record<string, unknown>) : [];
  return (
    <span className="flex flex-col gap-1">
      <span>{t("wordpress.replace.found", { count })}</span>
      {rows.length > 0 && (
        <table className="text-xs">
          <caption className="sr-only">{t("wordpress.replace.byColumn")}</caption>
          <thead>
            <tr className="text-left text-muted">
              <th scope="col" className="pr-3 font-medium">
                {t("wordpress.replace.column")}
              </th>
              <th scope="col" className="text-right font-medium">
                {t("wordpress.replace.times")}
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MAX_TABLES).map(([column, times]) => (
              <tr key={column}>
                <td className="pr-3">
                  <Quoted mono>{column}</Quoted>
                </td>
                <td className="text-right tabular-nums">{String(times)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </span>
  );
}

/** What suffers, by its code, and where a version is taken from. */
export function SiteEffects({ suffers, source }: { suffers: readonly string[]; source: string | null }): ReactNode {
  const { t, i18n } = useTranslation();
  if (suffers.length === 0 && source === null) return null;
  const file = source?.startsWith("package:") === true ? source.slice("package:".length) : null;
  return (
    <div className="flex basis-full flex-col gap-0.5 text-[0.8125rem]">
      {suffers.map((code) => {
        const key = `wordpress.suffers.${code}`;
        return (
          <Status key={code} tone="warn" wraps>
            {i18n.exists(key) ? t(key as "wordpress.suffers.forms") : visible(code)}
          </Status>
        );
      })}
      {source === "kept" && <span className="text-muted">{t("wordpress.source.kept")}</span>}
      {source === "wordpress.org" && <span className="text-muted">{t("wordpress.source.wordpressOrg")}</span>}
      {file !== null && <span className="quoted text-muted">{t("wordpress.source.package", { file: visible(file) })}</span>}
    </div>
  );
}
