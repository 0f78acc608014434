/** Once a minute: watch the origin, drain what is retained, roll the statistics up. */

import { ALERT_COST } from "./alert";
import { drain } from "./drain";
import { type Edge, numberOf } from "./environment";
import { log, reasonOf } from "./log";
import { ROLL_UP_COST, rollUp } from "./statistics";
import { WATCH_COST, check, watch } from "./watchdog";

/** Each part runs whatever became of the one before; a failed one is tried again by the next tick. */
export async function tick(edge: Edge): Promise<void> {
  const bucket = edge.env.RETAINED;
  if (!bucket) {
    log.warning("tick_without_bucket"); // nothing is retained, and there is no place to remember an outage
    return;
  }
  const budget = { left: numberOf(edge.env, "SUBREQUESTS") - WATCH_COST - ALERT_COST - ROLL_UP_COST };
  const checked = await check(edge);
  await part("watchdog", watch(edge, bucket, checked));
  await part("drain", drain(edge, bucket, budget, checked.health));
  await part("roll_up", rollUp(bucket, edge.now()));
}

async function part(name: string, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    log.error("tick_part_failed", { part: name, error: reasonOf(error) });
  }
}
