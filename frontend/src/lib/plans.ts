/**
 * Plan -> apply -> undo, the same for every room that offers it (portal/operations/plans.py). A plan says name by name
 * what would change; applying it begins an operation; undoing one gives a plan back. A new room adds its act to ROOMS,
 * and components/plan-dialog.tsx does the rest.
 */

import * as api from "@/api/sdk.gen";
import type { ContainerPlan, OperationView, UseView } from "@/api/types.gen";

import { isProblem } from "./problem";
import { once } from "./transport";

export type Use = UseView;

export interface Change {
  name: string;
  before: unknown; // null: it is not there
  after: unknown;
  is_protected: boolean;
  used_by: readonly Use[];
}

export interface Plan {
  id: string;
  act: string;
  changes: readonly Change[];
  unchanged: readonly string[]; // asked for, and so already
  silent_rooms: readonly string[]; // could not say what hangs on it
}

export interface Confirmation {
  typed_names: string[];
  reason: string | null;
}

/** What became of one name of a plan. */
export interface Result {
  name: string;
  operation: string | null;
  state: OperationView["state"] | "refused";
  problem: unknown;
}

interface Room {
  apply: (id: string, confirmation: Confirmation) => Promise<OperationView>;
  undo: (id: string) => Promise<Plan>;
  again: (changes: readonly Pick<Change, "name" | "after">[]) => Promise<Plan>; // the same wish anew
  isInterrupting: (change: Pick<Change, "after">) => boolean; // whether a protected name has to be typed for it
  actOf: (changes: readonly Pick<Change, "after">[]) => string; // what people call it, as an act of the policy table
  command: string;
}

export const planContainers = (names: readonly string[], want: "running" | "stopped"): Promise<ContainerPlan> =>
  api.planContainers({ body: { names: [...names], want }, headers: once() });

const ROOMS: Readonly<Record<string, Room>> = {
  "containers:apply": {
    apply: (plan_id, body) => api.applyContainerPlan({ path: { plan_id }, body, headers: once() }),
    undo: (plan_id) => api.undoContainerPlan({ path: { plan_id }, headers: once() }),
    again: (changes) =>
      planContainers(
        changes.map(({ name }) => name),
        changes.every(({ after }) => after === "running") ? "running" : "stopped",
      ),
    isInterrupting: ({ after }) => after !== "running",
    actOf: (changes) => (changes.every(({ after }) => after === "running") ? "containers:start" : changes.every(({ after }) => after === "stopped") ? "containers:stop" : "containers:apply"),
    command: "homeport containers",
  },
};

export function roomOf(act: string): Room | null {
  return Object.hasOwn(ROOMS, act) ? (ROOMS[act] ?? null) : null;
}

/** The plan that takes the place of one that no longer fits the world; null when that was not the problem. */
export function newPlanIn(error: unknown): Plan | null {
  return isProblem(error, "plan-stale") ? ((error.members["plan"] as Plan | undefined) ?? null) : null;
}

/** Problems that ended an operation before it had changed anything; the plan may be another operation's by now. */
const UNTOUCHED: ReadonlySet<string> = new Set(["/problems/plan-stale", "/problems/plan-applied"]);

/** Id of the plan that an operation has applied and that can be undone; null when there is none, or it is at work. */
export function undoable({ act, state, inverse, error }: Pick<OperationView, "act" | "state" | "inverse" | "error">): string | null {
  return state !== "running" && !UNTOUCHED.has(error?.type ?? "") && roomOf(act) ? (inverse?.plan_id ?? null) : null;
}

/** What an operation was to change, where it has applied a plan. */
export function changesOf({ detail }: Pick<OperationView, "detail">): readonly Pick<Change, "name" | "before" | "after">[] | null {
  const changes = detail?.["changes"];
  return Array.isArray(changes) ? (changes as Pick<Change, "name" | "before" | "after">[]) : null;
}

/** What became of each name, once the operation has ended. */
export function resultsOf({ result }: Pick<OperationView, "result">): readonly Result[] {
  const results = (result as { results?: unknown } | null)?.results;
  return Array.isArray(results) ? (results as Result[]) : [];
}
