/**
 * Plan -> apply -> undo, the same for every room that offers it (portal/operations/plans.py). A plan says name by name
 * what would change; applying it begins an operation; undoing one gives a plan back. A new room adds its act to ROOMS,
 * and components/plan-dialog.tsx does the rest.
 */

import i18next from "i18next";

import * as api from "@/api/sdk.gen";
import type { ContainerPlan, MailPlan, OperationView, RecordProblem, SitePlan, UseView } from "@/api/types.gen";

import { isProblem } from "./problem";
import { once } from "./transport";

const MAX_PROBLEMS = 100; // that are shown

export type Use = UseView;

export interface Change {
  name: string;
  before: unknown; // null: it is not there
  after: unknown;
  is_protected: boolean;
  used_by: readonly Use[] | null; // null: nobody was asked, since the plan has too many changes
  fields?: readonly string[]; // those of `before` and `after` that differ, where a change is of a thing with fields
  warnings?: readonly RecordProblem[];
  suffers?: readonly string[]; // codes of what a change of a site does to it
  source?: string | null; // where a version comes from
}

export interface Plan {
  id: string;
  act: string;
  target: string;
  changes: readonly Change[];
  unchanged: readonly string[]; // asked for, and so already
  silent_rooms: readonly string[]; // could not say what hangs on it
  counts?: Readonly<Record<string, number>>; // of all changes, by what is done; `changes` may be the first of them only
  needs_step_up?: boolean;
  batches?: number; // transactions that applying it takes
  warnings?: readonly { code: string; name: string; text: string }[]; // to be known before, and no hindrance
  skipped?: readonly RecordProblem[]; // what was asked for and left alone, and why
  restore_point?: "first" | "none" | "not-needed"; // of what has no way back: made first, or not to be had
}

export interface Confirmation {
  typed_names: string[];
  reason: string | null;
  without_restore_point?: boolean; // applied although none can be made
}

/** What became of one name of a plan. */
export interface Result {
  name: string;
  operation: string | null;
  state: OperationView["state"] | "refused";
  problem: unknown;
}

interface Room {
  apply: (plan: Pick<Plan, "id" | "target">, confirmation: Confirmation) => Promise<OperationView>;
  undo: (plan: Pick<Plan, "id" | "target">) => Promise<Plan>;
  planOf?: (answered: never) => Plan; // of one that the API says in other words
  permission?: string; // the act of the policy table, where that has another name
  again?: (changes: readonly Pick<Change, "name" | "after">[]) => Promise<Plan>; // the same wish anew, for what failed
  nameOf?: (name: string) => string; // what people call a change; by itself its name
  isInterrupting: (change: Pick<Change, "after">) => boolean; // whether a protected name has to be typed for it
  actOf: (changes: readonly Pick<Change, "after">[]) => string; // what people call it, as an act of the policy table
  command: (plan: Pick<Plan, "id" | "target"> & Partial<Pick<Plan, "changes">>) => string; // applies it
}

export const planContainers = (names: readonly string[], want: "running" | "stopped"): Promise<ContainerPlan> =>
  api.planContainers({ body: { names: [...names], want }, headers: once() });

export function sitePlan(plan: SitePlan): Plan {
  return { ...plan, silent_rooms: [], changes: plan.changes.map((change) => ({ ...change, is_protected: false, used_by: [] })) };
}

export function mailPlan(plan: MailPlan): Plan {
  return { ...plan, unchanged: [], silent_rooms: [], changes: plan.changes.map((change) => ({ ...change, is_protected: false, used_by: [] })) };
}

/** "plugin:quay-forms@any" -> "plugin quay-forms"; a replacement -> its two texts. */
export function siteChangeName(name: string): string {
  const [kind = ""] = name.split(":", 1);
  const subject = name.slice(kind.length + 1);
  if (kind === "search-replace") {
    try {
      const [old, next] = JSON.parse(subject) as unknown[];
      return `${String(old)} → ${String(next)}`;
    } catch {
      return name;
    }
  }
  return kind === name ? name : `${kind} ${subject.replace(/@any$/, "")}`;
}

/** Behind the type and the name of a record in its key, where what is written down has nothing but the key. */
const RECORD_DIGEST = / [0-9a-f]{12}(?: #\d+)?$/;

const ROOMS: Readonly<Record<string, Room>> = {
  "containers:apply": {
    apply: ({ id: plan_id }, body) => api.applyContainerPlan({ path: { plan_id }, body, headers: once() }),
    undo: ({ id: plan_id }) => api.undoContainerPlan({ path: { plan_id }, headers: once() }),
    again: (changes) =>
      planContainers(
        changes.map(({ name }) => name),
        changes.every(({ after }) => after === "running") ? "running" : "stopped",
      ),
    isInterrupting: ({ after }) => after !== "running",
    actOf: (changes) => (changes.every(({ after }) => after === "running") ? "containers:start" : changes.every(({ after }) => after === "stopped") ? "containers:stop" : "containers:apply"),
    command: ({ id }) => `homeport containers apply ${id}`,
  },
  "dns:apply": {
    apply: ({ id: plan_id, target: zone }, body) => api.applyDnsPlan({ path: { zone, plan_id }, body, headers: once() }),
    undo: ({ id: plan_id, target: zone }) => api.undoDnsPlan({ path: { zone, plan_id }, headers: once() }),
    nameOf: (name) => name.replace(RECORD_DIGEST, ""),
    isInterrupting: () => false, // a fresh factor is all that is asked for
    actOf: () => "dns:apply",
    command: ({ id }) => `homeport dns apply ${id}`,
  },
  "dns:route": {
    apply: ({ id: plan_id }, body) => api.applyTunnelPlan({ path: { plan_id }, body, headers: once() }),
    undo: ({ id: plan_id }) => api.undoTunnelPlan({ path: { plan_id }, headers: once() }),
    nameOf: (name) => {
      const [, what, hostname] = /^(record|route|rule waf|rule rate) (.+)$/.exec(name) ?? [];
      if (what === undefined) return name;
      const kind = what.replace(" ", "-");
      return i18next.exists(`tunnel.changeName.${kind}`) ? i18next.t(`tunnel.changeName.${kind as "route"}`, { name: hostname }) : name;
    },
    isInterrupting: () => false,
    actOf: () => "dns:route",
    command: ({ id }) => `homeport tunnel apply ${id}`,
  },
  "wordpress:apply": {
    apply: ({ id: plan_id }, { without_restore_point }) => api.applyWordpressPlan({ path: { plan_id }, body: { without_restore_point }, headers: once() }),
    undo: async ({ id: plan_id }) => sitePlan(await api.undoWordpressPlan({ path: { plan_id }, headers: once() })),
    planOf: sitePlan,
    nameOf: siteChangeName,
    isInterrupting: () => false,
    actOf: () => "wordpress:apply",
    command: ({ id }) => `homeport wordpress apply ${id}`,
  },
  "wordpress:mail": {
    apply: ({ id: plan_id }) => api.applySiteMailPlan({ path: { plan_id }, body: {}, headers: once() }),
    undo: async ({ id: plan_id }) => mailPlan(await api.undoSiteMailPlan({ path: { plan_id }, headers: once() })),
    planOf: mailPlan,
    permission: "wordpress:configure",
    isInterrupting: () => false,
    actOf: () => "wordpress:mail",
    command: ({ changes }) => `homeport wordpress mail ${changes?.every(({ after }) => after === null) ? "remove" : "configure"}${changes?.map(({ name }) => ` ${name}`).join("") ?? ""}`,
  },
};

export function roomOf(act: string): Room | null {
  return Object.hasOwn(ROOMS, act) ? (ROOMS[act] ?? null) : null;
}

/** The plan that takes the place of one that no longer fits the world; null when that was not the problem. */
export function newPlanIn(error: unknown): Plan | null {
  const answered = isProblem(error, "plan-stale") ? ((error.members["plan"] as Plan | undefined) ?? null) : null;
  return answered ? (roomOf(answered.act)?.planOf?.(answered as never) ?? answered) : null;
}

/** What is wrong with records or lines that were to be planned, where that was the problem. */
export function recordProblemsIn(error: unknown): readonly RecordProblem[] {
  if (!isProblem(error)) return [];
  const edits = error.members["edits"] as readonly { problems?: readonly RecordProblem[] }[] | undefined;
  const problems = error.members["problems"] as readonly RecordProblem[] | undefined;
  return [...(Array.isArray(problems) ? problems : []), ...(Array.isArray(edits) ? edits.flatMap((edit) => edit.problems ?? []) : [])].slice(0, MAX_PROBLEMS);
}

/** Problems after which the world is as it was, so that there is nothing to take back; the plan may be another operation's by now. */
const UNTOUCHED: ReadonlySet<string> = new Set(["plan-stale", "plan-applied", "dns-change-refused", "dns-apply-reverted"].map((type) => `/problems/${type}`));

/** Id of the plan that an operation has applied and that can be undone; null when there is none, or it is at work. */
export function undoable({ act, state, inverse, error }: Pick<OperationView, "act" | "state" | "inverse" | "error">): string | null {
  return state !== "running" && !UNTOUCHED.has(error?.type ?? "") && roomOf(act) ? (inverse?.plan_id ?? null) : null;
}

/** How many changes a plan has, of which not every one may be shown. */
export function changeCount({ changes, counts }: Pick<Plan, "changes" | "counts">): number {
  return counts ? Math.max(changes.length, (counts["create"] ?? 0) + (counts["change"] ?? 0) + (counts["delete"] ?? 0)) : changes.length;
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
