import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type {
  CheckedRecord,
  Connection,
  DnsOverview,
  DnsPlan,
  Draft,
  DriftList,
  DriftView,
  Edit,
  ImportZone,
  Propagation,
  RecordDetail,
  RecordPage,
  RecordProblem,
  RecordView,
  SnapshotList,
  SnapshotView,
  Unfinished,
  ZoneDifference,
  ZoneView,
} from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";
import type { ZoneSearch } from "@/lib/zone-search";

export type { CheckedRecord, Connection, DnsOverview, DnsPlan, Draft, DriftView, Edit, ImportZone, Propagation, RecordDetail, RecordPage, RecordProblem, RecordView, SnapshotView, Unfinished, ZoneDifference, ZoneView };

export const DNS = ["dns"] as const;
export const PAGE_SIZE = 100;
const REFRESH_MS = 60_000; // the portal reads Cloudflare every few minutes; what Homeport changes comes on the event stream
const HISTORY_SIZE = 50;

export const dnsQuery = queryOptions({
  queryKey: [...DNS, "overview"],
  queryFn: ({ signal }): Promise<DnsOverview> => api.readDns({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const recordsQuery = (zone: string, { find, type, proxied, tag, show, sort, down, page = 1 }: ZoneSearch) =>
  queryOptions({
    queryKey: [...DNS, "records", zone, { find, type, proxied, tag, show, sort, down, page }],
    queryFn: ({ signal }): Promise<RecordPage> =>
      api.listDnsRecords({
        path: { zone },
        query: {
          find,
          type,
          proxied: proxied && proxied === "yes",
          tag,
          show: show ?? "all",
          sort: sort ?? "name",
          direction: down ? "desc" : "asc",
          offset: (page - 1) * PAGE_SIZE,
          limit: PAGE_SIZE,
        },
        signal,
        headers: BACKGROUND,
      }),
    refetchInterval: REFRESH_MS,
    placeholderData: (previous) => (previous?.zone.name === zone ? previous : undefined),
  });

export const recordQuery = (zone: string, key: string) =>
  queryOptions({
    queryKey: [...DNS, "record", zone, key],
    queryFn: ({ signal }): Promise<RecordDetail> => api.readDnsRecord({ path: { zone }, query: { key }, signal, headers: BACKGROUND }),
  });

export const propagationQuery = (zone: string, key: string) =>
  queryOptions({
    queryKey: [...DNS, "propagation", zone, key],
    queryFn: ({ signal }): Promise<Propagation> => api.readDnsPropagation({ path: { zone }, query: { key }, signal }),
    staleTime: 30_000,
  });

export const snapshotsQuery = (zone: string) =>
  infiniteQueryOptions({
    queryKey: [...DNS, "snapshots", zone],
    queryFn: ({ pageParam, signal }): Promise<SnapshotList> => api.listDnsSnapshots({ path: { zone }, query: { before: pageParam ?? undefined, limit: HISTORY_SIZE }, signal, headers: BACKGROUND }),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_before,
  });

export const differenceQuery = (zone: string, from_id: string, to_id: string) =>
  queryOptions({
    queryKey: [...DNS, "difference", zone, from_id, to_id],
    queryFn: ({ signal }): Promise<ZoneDifference> => api.diffDnsZone({ path: { zone }, query: { from_id, to_id }, signal }),
  });

export const driftQuery = (zone: string, state: "open" | "all" = "open") =>
  queryOptions({
    queryKey: [...DNS, "drift", zone, state],
    queryFn: ({ signal }): Promise<DriftList> => api.listDnsDrift({ path: { zone }, query: { state }, signal, headers: BACKGROUND }),
  });

export const planEdits = (zone: string, edits: Edit[]): Promise<DnsPlan> => api.planDns({ path: { zone }, body: { edits }, headers: once() });
export const planImport = (zone: string, body: ImportZone): Promise<DnsPlan> => api.planDnsImport({ path: { zone }, body, headers: once() });
export const planRollback = (zone: string, snapshot_id: string, keys?: string[]): Promise<DnsPlan> => api.planDnsRollback({ path: { zone }, body: { snapshot_id, keys: keys ?? null }, headers: once() });
export const planDriftBack = (zone: string, drift_ids: number[]): Promise<DnsPlan> => api.planDnsDrift({ path: { zone }, body: { drift_ids }, headers: once() });
export const planUnfinished = ({ zone, operation_id }: Unfinished, way: "finish" | "revert"): Promise<DnsPlan> =>
  api.planDnsUnfinished({ path: { zone, operation_id }, body: { way }, headers: once() });

export const checkRecord = (zone: string, edit: Edit, signal?: AbortSignal): Promise<CheckedRecord> => api.checkDnsRecord({ path: { zone }, body: edit, headers: { ...once(), ...BACKGROUND }, signal });
export const acceptDrift = (zone: string, drift_ids: number[]): Promise<DriftList> => api.acceptDnsDrift({ path: { zone }, body: { drift_ids }, headers: once() });
export const readZoneNow = (zone: string): Promise<ZoneView> => api.refreshDnsZone({ path: { zone }, headers: once() });
export const takeSnapshot = (zone: string): Promise<SnapshotView> => api.takeDnsSnapshot({ path: { zone }, headers: once() });

export const exportAddress = (zone: string, format: ImportZone["format"]): string => `/api/dns/zones/${encodeURIComponent(zone)}/export?format=${format}`;
