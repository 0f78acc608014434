import { ArchiveX, PlugZap } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Quoted } from "@/components/quoted";
import { Time } from "@/components/time";

import type { Overview } from "./requests";

const COMMANDS = { not_connected: "homeport backup init", absent: "homeport backup run daily", stale: "systemctl list-timers 'homeport-backup*'", damaged: "homeport backup list" } as const;

/** Why the room has nothing to show, or only what was true once. Nothing connected is normal, and no error. */
export function BackupsNotice({ overview }: { overview: Overview }): ReactNode {
  const { t } = useTranslation();
  const { state } = overview;
  if (state === "fresh") return null;
  const isAlarm = state === "stale" || state === "damaged";
  const Icon = state === "not_connected" ? PlugZap : ArchiveX;
  return (
    <div role={isAlarm ? "alert" : undefined} className={`flex flex-col items-start gap-2 rounded-lg border border-line bg-panel p-4 text-sm ${isAlarm ? "border-l-4 border-l-warn" : ""}`}>
      <p className="flex items-center gap-2 font-medium">
        <Icon size={16} aria-hidden className={isAlarm ? "text-warn" : "text-muted"} />
        {t(`backups.notice.${state}`)}
      </p>
      <p className="max-w-prose text-muted">
        {t(`backups.notice.${state}Next`)}
        {overview.written_at && (
          <>
            {" "}
            {t("backups.notice.lastWritten")} <Time value={overview.written_at} />
          </>
        )}
      </p>
      {overview.detail && (
        <p lang="en" className="text-xs text-muted">
          <Quoted>{overview.detail}</Quoted>
        </p>
      )}
      <CommandLine command={COMMANDS[state]} />
    </div>
  );
}
