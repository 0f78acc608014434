/** Who did what, newest first: search, what changed, export, and the proof that nothing was changed afterwards. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { ChevronDown, ChevronRight, Download, ShieldCheck } from "lucide-react";
import { Fragment, useDeferredValue, useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook, IconButton } from "@/components/button";
import { FilterBox } from "@/components/field";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { CommandLine } from "@/components/copy";
import { Empty, InlineError } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { Time } from "@/components/time";
import { usePermission } from "@/lib/permission";
import { useAct } from "@/lib/act";

import { AuditDetails } from "./audit-details";
import { auditQuery, exportAddress, RESULTS, verifyAudit, type AuditEntry, type AuditFilter } from "./requests";

const route = getRouteApi("/audit");
const TONES: Record<string, Tone> = { accepted: "running", done: "good", failed: "bad", denied: "denied" };

export function AuditPage(): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [text, setText] = useState(search.find ?? "");
  const wanted = useDeferredValue(text);
  useEffect(() => {
    void navigate({ search: (now) => ({ ...now, find: wanted || undefined }), replace: true });
  }, [navigate, wanted]);
  const filter: AuditFilter = { text: search.find, result: search.result, actor: search.actor };
  const isFiltered = Boolean(search.find || search.result || search.actor);
  const query = useInfiniteQuery(auditQuery(filter));
  const mayExport = usePermission("audit:export").isPermitted;
  return (
    <Page title={t("pages.audit")} aside={<Verification />}>
      <div className="rounded-lg border border-line bg-panel">
        <div className="flex flex-wrap items-center gap-2 border-b border-line p-2">
          <FilterBox label={t("audit.search")} className="max-w-72" value={text} onChange={(event) => setText(event.target.value)} />
          <select
            aria-label={t("audit.result")}
            className="target rounded border border-edge bg-panel px-2 py-1 text-sm"
            value={search.result ?? ""}
            onChange={(event) => void navigate({ search: (now) => ({ ...now, result: RESULTS.find((each) => each === event.target.value) }) })}
          >
            <option value="">{t("audit.anyResult")}</option>
            {RESULTS.map((result) => (
              <option key={result} value={result}>
                {t(`result.${result}`)}
              </option>
            ))}
          </select>
          {mayExport && (
            <span className="ml-auto flex gap-2">
              {(["csv", "jsonl"] as const).map((form) => (
                <a key={form} className={buttonLook()} href={exportAddress(filter, form)} download>
                  <Download size={14} aria-hidden />
                  {form.toUpperCase()}
                </a>
              ))}
            </span>
          )}
        </div>
        <QueryView query={query} rows={14}>
          {({ pages }) => {
            const entries = pages.flatMap((page) => page.entries);
            return entries.length === 0 ? (
              <Empty
                title={t(isFiltered ? "common.nothingMatches" : "audit.empty")}
                action={
                  isFiltered && (
                    <Button
                      onClick={() => {
                        setText("");
                        void navigate({ search: {} });
                      }}
                    >
                      {t("common.resetFilter")}
                    </Button>
                  )
                }
              />
            ) : (
              <Entries entries={entries} />
            );
          }}
        </QueryView>
        {query.hasNextPage && (
          <div className="border-t border-line p-2 text-center">
            <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {t("common.more")}
            </Button>
          </div>
        )}
      </div>
      <CommandLine command="homeport audit list" />
    </Page>
  );
}

function Entries({ entries }: { entries: readonly AuditEntry[] }): ReactNode {
  const { t, i18n } = useTranslation();
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const toggle = (sequence: number): void => {
    const next = new Set(open);
    if (!next.delete(sequence)) next.add(sequence);
    setOpen(next);
  };
  return (
    <div role="region" aria-label={t("pages.audit")} tabIndex={0} className="relative overflow-x-auto">
      <table className="w-full border-collapse text-left text-[0.8125rem]">
        <caption className="sr-only">{t("pages.audit")}</caption>
        <thead>
          <tr className="border-b border-line text-xs whitespace-nowrap text-muted">
            <th scope="col" className="w-8 py-1.5 pl-2">
              <span className="sr-only">{t("audit.details")}</span>
            </th>
            {(["time", "actor", "action", "target", "result"] as const).map((key) => (
              <th key={key} scope="col" className="px-2 py-1.5 font-medium">
                {t(`audit.${key}`)}
              </th>
            ))}
            <th scope="col" className="hidden px-2 py-1.5 font-medium lg:table-cell">
              {t("audit.source")}
            </th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => {
            const isOpen = open.has(entry.sequence);
            return (
              <Fragment key={entry.sequence}>
                <tr className="border-t border-line first:border-0 hover:bg-sunken/60">
                  <td className="py-[calc(var(--row)/2)] pl-2">
                    <IconButton label={t(isOpen ? "audit.hideDetails" : "audit.showDetails", { number: entry.sequence })} aria-expanded={isOpen} onClick={() => toggle(entry.sequence)}>
                      {isOpen ? <ChevronDown size={14} aria-hidden /> : <ChevronRight size={14} aria-hidden />}
                    </IconButton>
                  </td>
                  <td className="px-2">
                    <Time value={entry.at} absolute />
                  </td>
                  <td className="px-2 whitespace-nowrap">
                    <Quoted>{entry.actor.name || t("audit.nobody")}</Quoted>
                  </td>
                  <td className="px-2 font-mono text-[0.92em]">{entry.action}</td>
                  <td className="px-2">
                    <Quoted>{entry.target}</Quoted>
                  </td>
                  <td className="px-2">
                    <Status tone={TONES[entry.result] ?? "unknown"}>{i18n.exists(`result.${entry.result}`) ? t(`result.${entry.result as "done"}`) : entry.result}</Status>
                  </td>
                  <td className="hidden px-2 lg:table-cell">
                    <Quoted mono>{entry.source}</Quoted>
                  </td>
                </tr>
                {isOpen && (
                  <tr>
                    <td colSpan={7} className="pr-2 pb-3 pl-10">
                      <AuditDetails entry={entry} />
                    </td>
                  </tr>
                )}
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Verification(): ReactNode {
  const { t } = useTranslation();
  const verify = useAct(verifyAudit);
  return (
    <>
      <span role="status" className="text-sm">
        {verify.data && (
          <Status tone={verify.data.broken_at === null ? "good" : "bad"}>
            {verify.data.broken_at === null ? t("audit.intact", { count: verify.data.rows }) : t("audit.broken", { number: verify.data.broken_at })}
          </Status>
        )}
      </span>
      {verify.error && <InlineError error={verify.error} />}
      <Button busy={verify.isPending} onClick={() => verify.mutate()}>
        <ShieldCheck size={15} aria-hidden />
        {t("audit.verify")}
      </Button>
    </>
  );
}
