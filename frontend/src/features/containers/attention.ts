import type { ContainerView } from "./requests";

/** Whether somebody should look: something is wrong with it, or its last run ended badly. */
export function needsAttention({ trouble, state, exit_code }: ContainerView): boolean {
  return trouble.length > 0 || state === "dead" || (state === "exited" && exit_code !== null && exit_code !== 0);
}
