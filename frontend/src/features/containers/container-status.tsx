import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Status, type Tone } from "@/components/status";

import type { ContainerView } from "./requests";

const STATES: Record<ContainerView["state"], Tone> = {
  running: "good",
  created: "idle",
  paused: "warn",
  restarting: "bad",
  removing: "running",
  exited: "idle",
  dead: "bad",
};

/** State and health in one: what is wrong comes first, and a run that ended badly says how. */
export function ContainerStatus({ container, isStale = false }: { container: ContainerView; isStale?: boolean }): ReactNode {
  const { t } = useTranslation();
  const { state, health, exit_code, trouble } = container;
  if (isStale) return <Status tone="unknown">{t("containers.state.stale", { state: t(`containers.state.${state}`) })}</Status>;
  const failed = state === "exited" && exit_code !== null && exit_code !== 0;
  return (
    <span className="flex flex-wrap items-center gap-x-2.5 gap-y-0.5">
      {trouble.map((each) => (
        <Status key={each} tone="bad">
          {t(`containers.trouble.${each}`)}
        </Status>
      ))}
      {!(state === "running" && trouble.includes("unhealthy")) && (
        <Status tone={failed ? "bad" : health === "starting" ? "running" : STATES[state]}>
          {failed ? t("containers.exitedWith", { code: exit_code }) : health && state === "running" && health !== "unhealthy" ? t(`containers.health.${health}`) : t(`containers.state.${state}`)}
        </Status>
      )}
    </span>
  );
}
