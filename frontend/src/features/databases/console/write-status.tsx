import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Status, type Tone } from "@/components/status";

import type { WriteView } from "./requests";

const TONES: Record<WriteView["state"], Tone> = { measured: "idle", applying: "running", applied: "good", "not-applied": "idle", unknown: "unknown" };

export function WriteStatus({ write: { state, kind, undone_by } }: { write: WriteView }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      <Status tone={TONES[state]}>{t(undone_by === null ? `databases.write.state.${state}` : "databases.write.undone")}</Status>
      <span className="block text-xs text-muted">{t(`databases.write.kind.${kind}`)}</span>
    </>
  );
}
