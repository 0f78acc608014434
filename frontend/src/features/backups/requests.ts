import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type {
  BackupAsset,
  BackupDrill,
  BackupOverview,
  BackupPoint,
  BackupPointView,
  BackupRun,
  OperationView,
  PendingJob,
  PreviewRestore,
  RunBackup,
  RunDrill,
  RunLine,
  RunLog,
} from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";

export type { PendingJob, RunLine, RunLog };
export type AssetView = BackupAsset;
export type DrillView = BackupDrill;
export type Overview = BackupOverview;
export type PointView = BackupPoint;
export type RunView = BackupRun;

type Catalogued = "meters" | "repository" | "vault" | "local" | "retention";

/** An overview that has a catalogue, be it an old one. */
export type Known = Overview & { [Member in Catalogued]: NonNullable<Overview[Member]> };

export function isKnown(overview: Overview): overview is Known {
  const { meters, repository, vault, local, retention } = overview;
  return meters !== null && repository !== null && vault !== null && local !== null && retention !== null;
}

export const BACKUPS = ["backups"] as const;
const REFRESH_MS = 15_000; // the catalogue is a file; that it is new, and what runs, the event stream says earlier
const FOLLOW_MS = 1_500;

export const backupsQuery = queryOptions({
  queryKey: [...BACKUPS, "overview"],
  queryFn: ({ signal }): Promise<Overview> => api.readBackups({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const pointQuery = (point: string) =>
  queryOptions({
    queryKey: [...BACKUPS, "point", point],
    queryFn: ({ signal }): Promise<BackupPointView> => api.readBackupPoint({ path: { point }, signal, headers: BACKGROUND }),
  });

/** A run's record, asked for again until it has ended: what is known already is kept, and only news are fetched. */
export const runQuery = (run_id: string) =>
  queryOptions({
    queryKey: [...BACKUPS, "run", run_id],
    queryFn: async ({ signal, client }): Promise<RunLog> => {
      const known = client.getQueryData<RunLog>([...BACKUPS, "run", run_id]);
      const news = await api.readBackupRun({ path: { run_id }, query: { after: known?.after }, signal, headers: BACKGROUND });
      return known ? { ...news, lines: [...known.lines, ...news.lines], is_truncated: known.is_truncated } : news;
    },
    refetchInterval: ({ state }) => (state.data?.state === "ended" ? false : FOLLOW_MS),
  });

export interface PlannedChange {
  path: string;
  what: "add" | "overwrite" | "delete";
}

/** What a preview found, as the result of its operation. */
export interface Preview {
  run: string;
  plan: string;
  point: string;
  target: string;
  where: PreviewRestore["where"];
  adds: number;
  overwrites: number;
  deletes: number;
  bytes: number;
  seconds: number | null;
  services: readonly string[];
  verified: boolean;
  egress_usd: number | null;
  changes: readonly PlannedChange[];
}

export const runBackup = (body: RunBackup): Promise<OperationView> => api.runBackup({ body, headers: once() });
export const verifyPoint = (point: string): Promise<OperationView> => api.verifyBackupPoint({ body: { point }, headers: once() });
export const runDrill = (body: RunDrill): Promise<OperationView> => api.runRestoreDrill({ body, headers: once() });
export const previewRestore = (body: PreviewRestore): Promise<OperationView> => api.previewRestore({ body, headers: once() });
export const restorePreviewed = (preview: string, confirm_point: string | null): Promise<OperationView> =>
  api.restorePreviewed({ body: { preview, confirm_point }, headers: once() });
