import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { ListOperationsData, OperationView, State } from "@/api/types.gen";
import { BACKGROUND } from "@/lib/transport";

export type { OperationView };

/** What an event on the stream says of an operation: what has changed, and which lines are new. */
export type OperationNews = Pick<OperationView, "id" | "act" | "target" | "state" | "outcome" | "cancelled_by" | "progress" | "lines">;

export const STATES = ["running", "done", "failed", "cancelled", "timed_out", "interrupted"] as const satisfies readonly State[];
export const OPERATIONS = ["operations"] as const;

export type OperationFilter = Pick<NonNullable<ListOperationsData["query"]>, "state" | "target">;

export const operationsQuery = (filter: OperationFilter) =>
  infiniteQueryOptions({
    queryKey: [...OPERATIONS, "list", filter],
    queryFn: ({ pageParam, signal }) => api.listOperations({ query: { ...filter, before: pageParam ?? undefined }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.before,
    placeholderData: (previous) => previous,
  });

export const runningQuery = queryOptions({
  queryKey: [...OPERATIONS, "running"],
  queryFn: ({ signal }) => api.listOperations({ query: { state: "running" }, signal, headers: BACKGROUND }),
});

export const operationQuery = (operation_id: string) =>
  queryOptions({
    queryKey: [...OPERATIONS, "one", operation_id],
    queryFn: ({ signal }): Promise<OperationView> => api.readOperation({ path: { operation_id }, signal }),
  });

/** The same when the event stream asks for it: nobody did anything, and what is known is old. */
export const operationNewsQuery = (operation_id: string) => ({
  ...operationQuery(operation_id),
  queryFn: (): Promise<OperationView> => api.readOperation({ path: { operation_id }, headers: BACKGROUND }),
  staleTime: 0,
});

export const cancelOperation = (operation_id: string): Promise<OperationView> => api.cancelOperation({ path: { operation_id } });
