/** The difference that a plan makes: name by name what is and what will be, and what suffers meanwhile. */

import { ArrowRight, Lock } from "lucide-react";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { withTexts } from "@/lib/language";
import type { Change } from "@/lib/plans";
import type en from "@/locales/en.json";

import { Quoted } from "./quoted";
import { Uses } from "./uses";

const SiteValue = lazy(() => withTexts(import("./site-change"), "sites"));
const SiteEffects = lazy(() => withTexts(import("./site-change").then(({ SiteEffects: shown }) => ({ default: shown })), "sites"));
const RecordChangeRow = lazy(() => withTexts(import("./record-change"), "dns", "records"));

type Shown = Pick<Change, "name" | "before" | "after"> & Partial<Change>;

const MAX_SHOWN = 100;
const LONG = 6; // changes, from which on the list scrolls by itself and what is below it stays in sight

/**
 * was       the changes of the plan that was shown before: what is not among them is marked
 * count     how many there are, where `changes` are only the first of them
 * nameOf    what people call a change
 */
export function PlanChanges({
  changes,
  was,
  count = changes.length,
  nameOf = (name) => name,
}: {
  changes: readonly Shown[];
  was?: readonly Change[];
  count?: number;
  nameOf?: (name: string) => string;
}): ReactNode {
  const { t } = useTranslation();
  const isNew = (change: Shown): boolean => was !== undefined && !was.some(({ name, after }) => name === change.name && JSON.stringify(after) === JSON.stringify(change.after));
  const shown = changes.slice(0, MAX_SHOWN);
  return (
    <>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keys */}
      <ul
        aria-label={t("plan.changes")}
        tabIndex={shown.length > LONG ? 0 : undefined}
        className={`divide-y divide-line rounded border border-line text-sm ${shown.length > LONG ? "max-h-[45dvh] overflow-y-auto" : ""}`}
      >
        {shown.map((change, index) => (
          // Two records may have one name, and what is shown has no other.
          // oxlint-disable-next-line react/no-array-index-key
          <li key={`${change.name} ${index}`} className="flex flex-wrap items-baseline gap-x-4 gap-y-1 px-3 py-1.5">
            <span className="min-w-0 flex-1 basis-40 font-medium">
              <Quoted>{nameOf(change.name)}</Quoted>
              {change.is_protected && !isRecord(change.before) && !isRecord(change.after) && <Lock size={12} role="img" aria-label={t("containers.protected")} className="ml-1.5 inline text-muted" />}
              {isNew(change) && <span className="ml-2 text-xs font-normal text-warn">{t("plan.isNew")}</span>}
            </span>
            {isRecord(change.before) || isRecord(change.after) ? (
              <Suspense>
                <RecordChangeRow before={isRecord(change.before) ? change.before : null} after={isRecord(change.after) ? change.after : null} warnings={change.warnings} />
              </Suspense>
            ) : (
              <span className="inline-flex min-w-0 items-center gap-1.5">
                <span className="sr-only">{t("audit.before")}</span>
                <span className="text-muted">
                  <Value value={change.before} />
                </span>
                <ArrowRight size={13} aria-hidden className="shrink-0 text-muted" />
                <span className="sr-only">{t("audit.after")}</span>
                <Value value={change.after} />
              </span>
            )}
            {change.suffers && (
              <Suspense>
                <SiteEffects suffers={change.suffers} source={change.source ?? null} />
              </Suspense>
            )}
            {change.used_by === null && <p className="basis-full text-[0.8125rem] text-muted">{t("plan.notAsked")}</p>}
            {change.used_by && change.used_by.length > 0 && (
              <div className="basis-full border-l-2 border-warn pl-2 text-[0.8125rem]">
                <p className="text-muted">{t(isRecord(change.before) || isRecord(change.after) ? "plan.hangsOn" : "containers.goesDark")}</p>
                <Uses uses={change.used_by} />
              </div>
            )}
          </li>
        ))}
      </ul>
      {count > shown.length && <p className="text-muted">{t("plan.moreChanges", { count: count - shown.length })}</p>}
    </>
  );
}

/** Whether a value is a DNS record, of which the fields are compared one by one. */
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && "type" in value && "name" in value;
}

/** Whether a value is what a site has of a plugin, a theme or WordPress itself, or what is to be replaced in it. */
function isOfSite(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && ("version" in value || "replacements" in value);
}

/** A value of several parts in one line: "service: http://blog:80, path: /a". */
function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map((each) => plain(each)).join(", ");
  if (typeof value !== "object" || value === null) return typeof value === "string" ? value : JSON.stringify(value);
  return Object.entries(value)
    .filter(([, part]) => part !== null)
    .map(([name, part]) => `${name}: ${plain(part)}`)
    .join(", ");
}

function Value({ value }: { value: unknown }): ReactNode {
  const { t, i18n } = useTranslation();
  if (value === null || value === undefined) return t("plan.absent");
  if (isOfSite(value)) {
    return (
      <Suspense>
        <SiteValue value={value} />
      </Suspense>
    );
  }
  const text = plain(value);
  return i18n.exists(`plan.value.${text}`) ? t(`plan.value.${text as keyof typeof en.plan.value}`) : <Quoted mono>{text}</Quoted>;
}
