/** Once a minute: watch the origin, drain what is retained, roll the statistics up. */

import { ALERT_COST } from "./alert";
import { drain } from "./drain";
import { type Edge, numberOf } from "./environment";
import { log, reasonOf } from "./log";
import { ROLL_UP_COST, rollUp } from "./statistics";
import { type Health, WATCH_COST, watch } from "./watchdog";

/** Each part runs whatever became of the one before; a failed one is tried again by the next tick. */
export async function tick(edge: Edge): Promise<void> {
  const bucket = edge.env.RETAINED;
  if (!bucket) {
    log.warning("tick_without_bucket"); // nothing is retained, and there is no place to remember an outage
    return;
  }
  const budget = { left: numberOf(edge.env, "SUBREQUESTS") - WATCH_COST - ALERT_COST - ROLL_UP_COST };
  const health = await part<Health | null>("watchdog", null, watch(edge, bucket));
  await part("drain", null, drain(edge, bucket, budget, health));
  await part("roll_up", 0, rollUp(bucket, edge.now()));
}

async function part<T>(name: string, otherwise: T, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    log.error("tick_part_failed", { part: name, error: reasonOf(error) });
    return otherwise;
  }
}
