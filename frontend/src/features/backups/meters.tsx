/** The promises and what is true: how old the copies are, how long a restore takes, until when nobody can delete. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Status, type Tone } from "@/components/status";
import { Time } from "@/components/time";
import { useNow } from "@/lib/clock";
import { duration } from "@/lib/format";

import { ageTone, secondsSince, timeTone } from "./judge";
import type { Known } from "./requests";

const COLOURS: Partial<Record<Tone, string>> = { good: "fill-good", warn: "fill-warn", bad: "fill-bad" };

const hours = (seconds: number): number => Math.round(seconds / 360) / 10; // as the targets are spoken of: 24 h, 26 h

interface Measured {
  seconds: number | null;
  limitS: number;
  endS: number; // where the bar is full
  tone: Tone;
}

export function Meters({ overview, isStale }: { overview: Known; isStale: boolean }): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  const { meters, vault, points, drills } = overview;
  const hasVault = vault.state !== "off";
  const protectedUntil = points.find(({ vault: kept }) => kept !== null)?.vault?.protected_until ?? null;
  const age = (at: string | null): Measured => ({
    seconds: at === null ? null : secondsSince(at, now),
    limitS: meters.rpo_limit_s,
    endS: meters.rpo_alarm_s,
    tone: isStale ? "unknown" : ageTone(at, now, meters.rpo_limit_s, meters.rpo_alarm_s),
  });
  const time = (seconds: number | null, limitS: number): Measured => ({ seconds, limitS, endS: limitS * 1.1, tone: isStale ? "unknown" : timeTone(seconds, limitS) });
  const rpo = t("backups.meter.rpo", { limit: hours(meters.rpo_limit_s), alarm: hours(meters.rpo_alarm_s) });
  const newest = drills[0];
  return (
    <section aria-label={t("backups.meter.title")} className="grid gap-3 sm:grid-cols-2 2xl:grid-cols-4">
      <Meter name={t("backups.meter.local")} about={rpo} measured={age(meters.local_at)} none={t("backups.meter.never")} isAge>
        {meters.local_at && <Time value={meters.local_at} absolute />}
      </Meter>
      <Meter name={t("backups.meter.vault")} about={rpo} measured={hasVault ? age(meters.vault_at) : null} none={t(hasVault ? "backups.meter.never" : "backups.meter.off")} isAge>
        {protectedUntil && (
          <>
            {t("backups.meter.protectedUntil")}: <Time value={protectedUntil} absolute />
          </>
        )}
      </Meter>
      <Meter
        name={t("backups.meter.restoreLocal")}
        about={t("backups.meter.rto", { limit: hours(meters.rto_local_limit_s) })}
        measured={time(meters.rto_local_s, meters.rto_local_limit_s)}
        none={t("backups.meter.unmeasured")}
      >
        {newest && (
          <>
            {t("backups.meter.lastDrill")}: <Time value={newest.at} absolute />
          </>
        )}
      </Meter>
      <Meter
        name={t("backups.meter.restoreVault")}
        about={t("backups.meter.rto", { limit: hours(meters.rto_vault_limit_s) })}
        measured={hasVault ? time(meters.rto_vault_s, meters.rto_vault_limit_s) : null}
        none={t(hasVault ? "backups.meter.unmeasured" : "backups.meter.off")}
      >
        {meters.drill_due_at && (
          <>
            {t("backups.meter.drillDue")}: <Time value={meters.drill_due_at} absolute />
          </>
        )}
      </Meter>
    </section>
  );
}

function Meter({
  name,
  about,
  measured,
  none,
  isAge = false,
  children,
}: {
  name: string;
  about: string;
  measured: Measured | null; // null: not set up
  none: string; // what is said where there is no number
  isAge?: boolean;
  children: ReactNode;
}): ReactNode {
  const { t } = useTranslation();
  const seconds = measured?.seconds ?? null;
  const tone: Tone = measured?.tone ?? "idle";
  return (
    <article aria-label={name} className="flex flex-col gap-1 rounded-lg border border-line bg-panel p-3">
      <h3 className="flex flex-wrap items-baseline justify-between gap-x-3 text-xs text-muted">
        {name}
        <Status tone={tone}>
          {t(tone === "good" ? "backups.meter.within" : tone === "warn" ? "backups.meter.past" : tone === "bad" ? (isAge ? "backups.meter.alarm" : "backups.meter.past") : tone === "idle" ? "backups.meter.off" : "backups.meter.unknown")}
        </Status>
      </h3>
      {seconds === null ? (
        <p className="py-1 text-sm text-muted">{none}</p>
      ) : (
        <p className={`text-2xl font-semibold ${tone === "unknown" ? "text-unknown" : ""}`}>{duration(seconds)}</p>
      )}
      {measured && seconds !== null && <Bar {...measured} seconds={seconds} />}
      <p className="text-xs text-muted">{about}</p>
      <p className="text-xs">{children}</p>
    </article>
  );
}

/** How much of the promise is used up; the mark is the promise. The words beside it say the same. */
function Bar({ seconds, limitS, endS, tone }: Measured & { seconds: number }): ReactNode {
  return (
    <svg aria-hidden viewBox="0 0 1000 12" preserveAspectRatio="none" className="my-1 h-1.5 w-full">
      <rect width={1000} height={12} rx={6} className="fill-line" />
      <rect width={Math.min(1, seconds / endS) * 1000} height={12} rx={6} className={COLOURS[tone] ?? "fill-unknown"} />
      <rect x={(limitS / endS) * 1000 - 3} width={6} height={12} className="fill-ink" />
    </svg>
  );
}
