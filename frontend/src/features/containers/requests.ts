import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { BulkResult, BulkResults, ContainerDetail, ContainerList, ContainerView, DiskUse, EventView, Image, ImageList, KeptLog, KeptLogs, OperationView, StatsView } from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";

export type { BulkResult, ContainerDetail, ContainerList, ContainerView, DiskUse, EventView, Image, KeptLog, StatsView };

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

export const keptLogsQuery = queryOptions({
  queryKey: [...CONTAINERS, "kept-logs"],
  queryFn: ({ signal }): Promise<KeptLogs> => api.listKeptLogs({ signal, headers: BACKGROUND }),
});

const SELDOM_MS = 60_000; // the engine counts the files of all volumes for it

export const imagesQuery = queryOptions({
  queryKey: [...CONTAINERS, "images"],
  queryFn: ({ signal }): Promise<ImageList> => api.listImages({ signal, headers: BACKGROUND }),
  staleTime: SELDOM_MS,
});

export const diskUseQuery = queryOptions({
  queryKey: [...CONTAINERS, "disk-use"],
  queryFn: ({ signal }): Promise<DiskUse> => api.readDiskUsage({ signal, headers: BACKGROUND }),
  staleTime: SELDOM_MS,
});

const address = (name: string, rest: string): string => `/api/containers/${encodeURIComponent(name)}${rest}`;

export const statsStreamAddress = (name: string): string => address(name, "/stats/follow");
export const logDownloadAddress = (name: string): string => address(name, "/logs/download");

export type ContainerAct = "start" | "stop" | "restart";

export interface Confirmation {
  typed_name?: string;
  reason?: string;
}

export const restartContainer = (name: string, body: Confirmation): Promise<OperationView> => api.restartContainer({ path: { name }, headers: once(), body });
export const restartContainers = (names: string[]): Promise<BulkResults> => api.restartContainers({ body: { names }, headers: once() });
