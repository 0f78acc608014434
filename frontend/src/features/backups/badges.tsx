/** Words that the room's tables share: what a point is worth, what an asset is called, how a run ended. */

import { useCallback, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Status, type Tone } from "@/components/status";
import { visible } from "@/lib/hostile-text";
import type texts from "@/locales/backups/en.json";

import { troubleOf } from "./judge";
import type { AssetView, PointView, RunView } from "./requests";

const TROUBLES = { damaged: "bad", incomplete: "bad", unverified: "warn" } as const satisfies Record<string, Tone>;
const COVERED: Record<AssetView["covered"], Tone> = { yes: "good", excluded: "idle", missing: "bad", "same-device": "bad" };

export function PointStatus({ point }: { point: PointView }): ReactNode {
  const { t } = useTranslation();
  const trouble = troubleOf(point);
  return (
    <span className="flex flex-wrap items-center gap-x-2.5">
      <Status tone={trouble ? TROUBLES[trouble] : "good"}>{t(`backups.state.${trouble ?? "verified"}`)}</Status>
      {!point.is_local && <span className="text-xs text-muted">{t("backups.vaultOnly")}</span>}
    </span>
  );
}

export function CoveredStatus({ covered }: { covered: AssetView["covered"] }): ReactNode {
  const { t } = useTranslation();
  return <Status tone={COVERED[covered]}>{t(`backups.covered.${covered}`)}</Status>;
}

/** "Mailbox anna@home.test", as text: names come from outside. */
export function useAssetName(): (asset: { kind: string; name: string }) => string {
  const { t, i18n } = useTranslation();
  return useCallback(
    ({ kind, name }) => {
      const word = i18n.exists(`backups.asset.${kind}`) ? t(`backups.asset.${kind as keyof typeof texts.backups.asset}`) : kind;
      return name === "" ? word : t("backups.asset.of", { kind: word, name: visible(name) });
    },
    [t, i18n],
  );
}

export function AssetKind({ kind }: { kind: string }): ReactNode {
  const { t, i18n } = useTranslation();
  return i18n.exists(`backups.asset.${kind}`) ? t(`backups.asset.${kind as keyof typeof texts.backups.asset}`) : <Quoted>{kind}</Quoted>;
}

/** How a run ended, by the table of exit codes. */
export function RunStatus({ run: { ended_at, exit_code } }: { run: Pick<RunView, "ended_at" | "exit_code"> }): ReactNode {
  const { t, i18n } = useTranslation();
  if (exit_code === null) return <Status tone={ended_at === null ? "running" : "unknown"}>{t(ended_at === null ? "operations.state.running" : "common.unknown")}</Status>;
  const word = i18n.exists(`backups.exit.${exit_code}`) ? t(`backups.exit.${String(exit_code) as keyof typeof texts.backups.exit}`) : t("backups.exitOther", { code: exit_code });
  return <Status tone={exit_code === 0 ? "good" : "bad"}>{word}</Status>;
}

/** Who began a run: a user of the portal, or the host itself. */
export function RunBy({ by }: { by: string }): ReactNode {
  const { t } = useTranslation();
  return by === "timer" || by === "host" ? t(`backups.by.${by}`) : <Quoted>{by}</Quoted>;
}
