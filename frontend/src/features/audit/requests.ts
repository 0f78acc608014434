import { infiniteQueryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { AuditEntry, AuditVerification, ListAuditData, Result } from "@/api/types.gen";

export type { AuditEntry };

export const RESULTS = ["accepted", "done", "failed", "denied"] as const satisfies readonly Result[];
const PAGE = 100;

export type AuditFilter = Pick<NonNullable<ListAuditData["query"]>, "text" | "actor" | "result">;

export const auditQuery = (filter: AuditFilter) =>
  infiniteQueryOptions({
    queryKey: ["audit", filter],
    queryFn: ({ pageParam, signal }) => api.listAudit({ query: { ...filter, limit: PAGE, below: pageParam ?? undefined }, signal }),
    initialPageParam: null as number | null,
    getNextPageParam: (last) => last.below,
    placeholderData: (previous) => previous,
  });

export const verifyAudit = (): Promise<AuditVerification> => api.verifyAudit();

export function exportAddress(filter: AuditFilter, form: "csv" | "jsonl"): string {
  const query = new URLSearchParams(Object.entries(filter).flatMap(([name, value]) => (value ? [[name, value]] : [])));
  query.set("form", form);
  return `/api/audit/export?${query}`;
}
