/** How far a run is: what is done of what, how fast, how long still. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { bytes, duration } from "@/lib/format";
import type texts from "@/locales/backups/en.json";

interface Measured {
  done?: number | null;
  total?: number | null;
  unit?: string | null;
  rate?: number | null;
  eta_s?: number | null;
}

export function Progress({ done = null, total = null, unit = null, rate = null, eta_s = null }: Measured): ReactNode {
  const { t } = useTranslation();
  if (done === null) return null;
  const amount = (value: number): string => (unit === "bytes" ? bytes(Math.round(value)) : String(Math.round(value)));
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted">
      {total !== null && total > 0 && <progress value={Math.min(done, total)} max={total} aria-label={t("operations.progress")} className="h-1.5 w-40 max-w-full accent-accent" />}
      <span>
        {amount(done)}
        {total !== null && total > 0 && ` / ${amount(total)}`}
      </span>
      {rate !== null && rate > 0 && <span>{t("backups.runPage.rate", { rate: amount(rate) })}</span>}
      {eta_s !== null && <span>{t("backups.runPage.left", { time: duration(eta_s) })}</span>}
    </div>
  );
}

/** A step of a run; one that has no name yet shows the unit's own. */
export function StepName({ name }: { name: string }): ReactNode {
  const { t, i18n } = useTranslation();
  return i18n.exists(`backups.step.${name}`) ? t(`backups.step.${name as keyof typeof texts.backups.step}`) : <Quoted>{name}</Quoted>;
}
