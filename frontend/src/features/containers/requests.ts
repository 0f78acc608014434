import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { BulkResult, BulkResults, ContainerDetail, ContainerList, ContainerView, EventView, OperationView, StatsView } from "@/api/types.gen";
import { BACKGROUND } from "@/lib/transport";

export type { BulkResult, ContainerDetail, ContainerList, ContainerView, EventView, StatsView };

export const CONTAINERS = ["containers"] as const;
const REFRESH_MS = 10_000; // what is measured; changes of state come on the event stream

export const containersQuery = queryOptions({
  queryKey: [...CONTAINERS, "list"],
  queryFn: ({ signal }): Promise<ContainerList> => api.listContainers({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const containerQuery = (name: string) =>
  queryOptions({
    queryKey: [...CONTAINERS, "one", name],
    queryFn: ({ signal }): Promise<ContainerDetail> => api.readContainer({ path: { name }, signal, headers: BACKGROUND }),
    refetchInterval: REFRESH_MS,
  });

export const containerEventsQuery = (name: string) =>
  queryOptions({
    queryKey: [...CONTAINERS, "events", name],
    queryFn: ({ signal }) => api.listEventsOfContainer({ path: { name }, query: { limit: 200 }, signal, headers: BACKGROUND }),
  });

export const containerStatsQuery = (name: string) =>
  queryOptions({
    queryKey: [...CONTAINERS, "stats", name],
    queryFn: ({ signal }) => api.readContainerStats({ path: { name }, query: { minutes: 15 }, signal, headers: BACKGROUND }),
    staleTime: Infinity, // the stream goes on from there
    gcTime: 0,
  });

const address = (name: string, rest: string): string => `/api/containers/${encodeURIComponent(name)}${rest}`;

/** What the portal sends in one answer, at most; all there is comes as a download. */
export const MAX_LINES_AT_ONCE = 20_000;

export const statsStreamAddress = (name: string): string => address(name, "/stats/follow");
export const logStreamAddress = (name: string, since: string): string => address(name, `/logs/follow?tail=${MAX_LINES_AT_ONCE}&since=${encodeURIComponent(since)}`);
export const logDownloadAddress = (name: string): string => address(name, "/logs/download");

export type ContainerAct = "start" | "stop" | "restart";

export interface Confirmation {
  typed_name?: string;
  reason?: string;
}

/** An act that is sent twice, because a connection broke, is done once. */
const once = (): { "Idempotency-Key": string } => ({ "Idempotency-Key": crypto.randomUUID() });

export function actOnContainer(name: string, act: ContainerAct, body: Confirmation): Promise<OperationView> {
  const shared = { path: { name }, headers: once() };
  if (act === "start") return api.startContainer(shared);
  return act === "stop" ? api.stopContainer({ ...shared, body }) : api.restartContainer({ ...shared, body });
}

const MANY = { start: api.startContainers, stop: api.stopContainers, restart: api.restartContainers } as const;

export const actOnContainers = (names: string[], act: ContainerAct): Promise<BulkResults> => MANY[act]({ body: { names }, headers: once() });
