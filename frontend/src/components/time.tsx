import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { useNow } from "@/lib/clock";
import { absoluteTime, relativeTime } from "@/lib/format";

/** A moment: relative, with the absolute time on hover and for whoever asks; or the other way round in tables. */
export function Time({ value, absolute = false }: { value: string | number; absolute?: boolean }): ReactNode {
  const now = useNow();
  useTranslation(); // written anew when the language changes
  const moment = new Date(value);
  const iso = Number.isNaN(moment.getTime()) ? undefined : moment.toISOString();
  const exact = absoluteTime(value);
  const about = relativeTime(value, now);
  return (
    <time dateTime={iso} title={absolute ? about : exact} className="whitespace-nowrap">
      {absolute ? absoluteTime(value, { zone: false }) : about}
    </time>
  );
}

/** "measured 5 seconds ago": from the payload, never from the time of the fetch (ux.md rule 9). */
export function MeasuredAt({ value }: { value: string | number }): ReactNode {
  const { t } = useTranslation();
  return (
    <span className="text-xs text-muted">
      {t("common.measured")} <Time value={value} />
    </span>
  );
}
