import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { ListOperationsData, OperationView, State } from "@/api/types.gen";
import { BACKGROUND } from "@/lib/transport";

export type { OperationView };

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

export const cancelOperation = (operation_id: string): Promise<OperationView> => api.cancelOperation({ path: { operation_id } });
