import { PlugZap } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine } from "@/components/copy";
import { Time } from "@/components/time";

import type { ContainerList } from "./requests";

/** No engine is normal where none is set up, and never an error; a silent one leaves what was last known, in grey. */
export function EngineNotice({ engine, measuredAt }: { engine: ContainerList["engine"]; measuredAt: string | null }): ReactNode {
  const { t } = useTranslation();
  if (engine.state === "connected") return null;
  const isSilent = engine.state === "silent";
  return (
    <div role={isSilent ? "alert" : undefined} className={`flex flex-col items-start gap-2 rounded-lg border border-line bg-panel p-4 text-sm ${isSilent ? "border-l-4 border-l-warn" : ""}`}>
      <p className="flex items-center gap-2 font-medium">
        <PlugZap size={16} aria-hidden className={isSilent ? "text-warn" : "text-muted"} />
        {t(isSilent ? "containers.engine.silent" : "containers.engine.none")}
      </p>
      <p className="max-w-prose text-muted">
        {t(isSilent ? "containers.engine.silentNext" : "containers.engine.noneNext")}
        {isSilent && measuredAt && (
          <>
            {" "}
            {t("containers.engine.lastKnown")} <Time value={measuredAt} />
          </>
        )}
      </p>
      {isSilent && engine.detail && <p className="quoted text-xs text-muted">{engine.detail}</p>}
      {!isSilent && <CommandLine command="homeport portal broker --socket PATH" />}
    </div>
  );
}
