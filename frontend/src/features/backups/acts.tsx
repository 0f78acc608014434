/**
 * What can be asked of the backup from here: a point now, a verification, a drill. Each says what it does before, shows
 * its command, and goes on as an operation, which has a place of its own.
 */

import { FlaskConical, Play, ShieldCheck, type LucideIcon } from "lucide-react";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { usePermission } from "@/lib/permission";

import type { Known } from "./requests";

const RunDialog = lazy(async () => ({ default: (await import("./act-dialogs")).RunDialog }));
const DrillDialog = lazy(async () => ({ default: (await import("./act-dialogs")).DrillDialog }));
const VerifyDialog = lazy(async () => ({ default: (await import("./act-dialogs")).VerifyDialog }));

const ACTS = ["run", "drill"] as const;
type BackupAct = (typeof ACTS)[number];

const ICONS: Record<BackupAct | "verify", LucideIcon> = { run: Play, drill: FlaskConical, verify: ShieldCheck };

/** The room's own acts, with the dialog of the one that is asked for. */
export function BackupActs({ overview, asked, onAsk }: { overview: Known; asked: BackupAct | null; onAsk: (act: BackupAct | null) => void }): ReactNode {
  const close = (): void => onAsk(null);
  return (
    <>
      {ACTS.map((act) => (
        <ActButton key={act} act={act} onAsk={() => onAsk(act)} />
      ))}
      <Suspense>
        {asked === "run" && <RunDialog overview={overview} onClose={close} />}
        {asked === "drill" && <DrillDialog overview={overview} onClose={close} />}
      </Suspense>
    </>
  );
}

/** Read a point back; of one that only the vault has there is nothing to read. */
export function VerifyAct({ point, isThere, isAsked, onAsk }: { point: string; isThere: boolean; isAsked: boolean; onAsk: (isAsked: boolean) => void }): ReactNode {
  return (
    <>
      <ActButton act="verify" isPossible={isThere} onAsk={() => onAsk(true)} />
      <Suspense>{isAsked && isThere && <VerifyDialog point={point} onClose={() => onAsk(false)} />}</Suspense>
    </>
  );
}

function ActButton({ act, onAsk, isPossible = true }: { act: BackupAct | "verify"; onAsk: () => void; isPossible?: boolean }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission(`backups:${act}`);
  const Icon = ICONS[act];
  const why = !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : isPossible ? undefined : t("backups.vaultOnly");
  return (
    <Button look={act === "run" ? "primary" : "plain"} disabled={!isPermitted || !isPossible} title={why} onClick={onAsk}>
      <Icon size={14} aria-hidden />
      {t(`backups.${act}.verb`)}
    </Button>
  );
}
