/** Where points lie besides the tree: the vault, the repository, the disk; and when the timers come next. */

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Fact, Facts, Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { Time } from "@/components/time";
import { useNow } from "@/lib/clock";
import { bytes, relativeTime } from "@/lib/format";
import { currentLanguage } from "@/lib/language";

import type { Known } from "./requests";

type Health = Known["vault"]["state"];

const TONES: Record<Health, Tone> = { ok: "good", failed: "bad", off: "idle", unknown: "unknown" };

function HealthStatus({ state, isStale }: { state: Health; isStale: boolean }): ReactNode {
  const { t } = useTranslation();
  const shown = isStale && state !== "off" ? "unknown" : state;
  return <Status tone={TONES[shown]}>{t(`backups.health.${shown}`)}</Status>;
}

export function dollars(amount: number): string {
  return new Intl.NumberFormat(currentLanguage(), { style: "currency", currency: "USD" }).format(amount);
}

export function VaultPanel({ vault, isStale }: { vault: Known["vault"]; isStale: boolean }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t("backups.vault.title")} aside={<HealthStatus state={vault.state} isStale={isStale} />}>
      {vault.state === "off" ? (
        <Empty title={t("backups.vault.off")}>{t("backups.vault.offWhy")}</Empty>
      ) : (
        <>
          <Detail text={vault.detail} />
          <Facts>
            <Fact name={t("backups.vault.bucket")}>
              <Quoted>{vault.bucket}</Quoted> · <Quoted>{vault.region}</Quoted>
            </Fact>
            {vault.lowest_retain_until && (
              <Fact name={t("backups.vault.lowest")}>
                <Time value={vault.lowest_retain_until} absolute />
              </Fact>
            )}
            {vault.last_sync_at && (
              <Fact name={t("backups.vault.sync")}>
                <Time value={vault.last_sync_at} absolute /> · {t("backups.vault.uploaded")} {bytes(vault.uploaded_bytes)} · {t("backups.vault.extended")} {vault.extended}
              </Fact>
            )}
            <Fact name={t("backups.vault.locked")}>
              {bytes(vault.locked_bytes)} · {t("backups.vault.objects")} {vault.objects}
            </Fact>
            {vault.cost && (
              <>
                <Fact name={t("backups.vault.cost")}>
                  <Status tone={isStale ? "unknown" : vault.cost.month_usd > vault.cost.budget_usd ? "bad" : "good"} wraps>
                    {t("backups.vault.costOf", { month: dollars(vault.cost.month_usd), budget: dollars(vault.cost.budget_usd) })}
                  </Status>
                </Fact>
                <Fact name={t("backups.vault.egress")}>{dollars(vault.cost.egress_usd)}</Fact>
              </>
            )}
            {vault.attack_ok !== null && (
              <Fact name={t("backups.vault.attack")}>
                <Status tone={vault.attack_ok ? "good" : "bad"} wraps>{t(vault.attack_ok ? "backups.vault.refused" : "backups.vault.through")}</Status>
                {vault.attack_at && (
                  <span className="text-muted">
                    {" "}
                    <Time value={vault.attack_at} absolute />
                  </span>
                )}
              </Fact>
            )}
            {vault.checked_at && (
              <Fact name={t("backups.vault.checked")}>
                <Time value={vault.checked_at} absolute />
              </Fact>
            )}
          </Facts>
        </>
      )}
    </Panel>
  );
}

export function RepositoryPanel({ repository, local, isStale }: Pick<Known, "repository" | "local"> & { isStale: boolean }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t("backups.repository.title")} aside={<HealthStatus state={repository.state} isStale={isStale} />}>
      {repository.state === "off" && <p className="px-3 pt-3 text-sm text-muted">{t("backups.repository.off")}</p>}
      <Detail text={repository.detail} />
      <Facts>
        {repository.state !== "off" && (
          <Fact name={t("backups.repository.snapshots")}>
            {repository.snapshots} · {bytes(repository.bytes)}
          </Fact>
        )}
        {repository.checked_at && (
          <Fact name={t("backups.vault.checked")}>
            <Time value={repository.checked_at} absolute />
          </Fact>
        )}
        <Fact name={t("backups.disk")}>{t("backups.free", { free: bytes(local.free_bytes), total: bytes(local.total_bytes) })}</Fact>
      </Facts>
    </Panel>
  );
}

export function SchedulePanel({ schedule, runs }: Pick<Known, "schedule" | "runs">): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  return (
    <Panel
      title={t("backups.schedule")}
      aside={
        runs[0] && (
          <Link to="/backups" search={{ tab: "history" }} className="text-sm underline">
            {t("backups.tabs.history")}
          </Link>
        )
      }
    >
      <Facts>
        {schedule.map(({ verb, next_at }) => (
          <Fact key={verb} name={verb}>
            <Time value={next_at} absolute /> <span className="text-xs text-muted max-sm:hidden">{relativeTime(next_at, now)}</span>
          </Fact>
        ))}
      </Facts>
    </Panel>
  );
}

/** What an engine said, as it said it. */
function Detail({ text }: { text: string }): ReactNode {
  if (text === "") return null;
  return (
    <p lang="en" className="mx-3 mt-3 border-l-4 border-bad pl-2 text-sm">
      <Quoted>{text}</Quoted>
    </p>
  );
}
