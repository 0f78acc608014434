/** The difference that a plan makes: name by name what is and what will be, and what suffers meanwhile. */

import { ArrowRight, Lock } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Change } from "@/lib/plans";
import type en from "@/locales/en.json";

import { Quoted } from "./quoted";
import { Uses } from "./uses";

type Shown = Pick<Change, "name" | "before" | "after"> & Partial<Change>;

/** `was` are the changes of the plan that was shown before: what is not among them is marked. */
export function PlanChanges({ changes, was }: { changes: readonly Shown[]; was?: readonly Change[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <ul aria-label={t("plan.changes")} className="divide-y divide-line rounded border border-line text-sm">
      {changes.map((change) => (
        <li key={change.name} className="flex flex-wrap items-baseline gap-x-4 gap-y-1 px-3 py-1.5">
          <span className="min-w-0 flex-1 basis-40 font-medium">
            <Quoted>{change.name}</Quoted>
            {change.is_protected && <Lock size={12} role="img" aria-label={t("containers.protected")} className="ml-1.5 inline text-muted" />}
            {was && !was.some(({ name, after }) => name === change.name && after === change.after) && <span className="ml-2 text-xs font-normal text-warn">{t("plan.isNew")}</span>}
          </span>
          <span className="inline-flex items-center gap-1.5">
            <span className="sr-only">{t("audit.before")}</span>
            <span className="text-muted">
              <Value value={change.before} />
            </span>
            <ArrowRight size={13} aria-hidden className="text-muted" />
            <span className="sr-only">{t("audit.after")}</span>
            <Value value={change.after} />
          </span>
          {change.used_by && change.used_by.length > 0 && (
            <div className="basis-full border-l-2 border-warn pl-2 text-[0.8125rem]">
              <p className="text-muted">{t("containers.goesDark")}</p>
              <Uses uses={change.used_by} />
            </div>
          )}
        </li>
      ))}
    </ul>
  );
}

function Value({ value }: { value: unknown }): ReactNode {
  const { t, i18n } = useTranslation();
  if (value === null || value === undefined) return t("plan.absent");
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return i18n.exists(`plan.value.${text}`) ? t(`plan.value.${text as keyof typeof en.plan.value}`) : <Quoted mono>{text}</Quoted>;
}
