import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type {
  CompletionWords,
  ConsoleServer,
  ConsoleView,
  ExportQueryData,
  HistoryEntry,
  KilledQuery,
  OperationView,
  QueryColumn,
  QueryHistory,
  QueryResult,
  RowChange,
  WriteList,
  WriteView,
} from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";

export type { CompletionWords, ConsoleServer, ConsoleView, HistoryEntry, QueryColumn, QueryResult, RowChange, WriteView };
export type Form = NonNullable<ExportQueryData["body"]["form"]>;

export const CONSOLE = ["console"] as const;
const REFRESH_MS = 60_000;
const PAGE_SIZE = 50;

/** Where a statement goes. */
export interface Place {
  server: string;
  database: string | null;
}

export const consoleQuery = queryOptions({
  queryKey: [...CONSOLE, "view"],
  queryFn: ({ signal }): Promise<ConsoleView> => api.readConsole({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const wordsQuery = (server: string, database: string) =>
  queryOptions({
    queryKey: [...CONSOLE, "words", server, database],
    queryFn: ({ signal }): Promise<CompletionWords> => api.readWords({ path: { server, database }, signal, headers: BACKGROUND }),
    staleTime: 5 * 60_000,
    retry: false,
  });

export const historyQuery = infiniteQueryOptions({
  queryKey: [...CONSOLE, "history"],
  queryFn: ({ pageParam, signal }): Promise<QueryHistory> => api.listHistory({ query: { before: pageParam ?? undefined, limit: PAGE_SIZE }, signal, headers: BACKGROUND }),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.before,
});

export const writesQuery = infiniteQueryOptions({
  queryKey: [...CONSOLE, "writes"],
  queryFn: ({ pageParam, signal }): Promise<WriteList> => api.listWrites({ query: { before: pageParam ?? undefined, limit: PAGE_SIZE }, signal, headers: BACKGROUND }),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.before,
});

export const writeQuery = (write_id: string) =>
  queryOptions({
    queryKey: [...CONSOLE, "writes", write_id],
    queryFn: ({ signal }): Promise<WriteView> => api.readWrite({ path: { write_id }, signal, headers: BACKGROUND }),
  });

/** The client draws it, so that it can kill what it has asked. */
export const newId = (): string => crypto.randomUUID().replaceAll("-", "");

export const runQuery = (id: string, { server, database }: Place, statement: string): Promise<QueryResult> => api.runQuery({ body: { id, server, database, statement }, headers: once() });
export const killQuery = (query_id: string): Promise<KilledQuery> => api.killQuery({ path: { query_id }, headers: once() });

/** All rows, as a file. The browser keeps what has come on its own disk, and not in the page. */
export async function exportRows(id: string, { server, database }: Place, statement: string, form: Form): Promise<Blob> {
  const rows: unknown = await api.exportQuery({ body: { id, server, database, statement, form }, headers: once(), parseAs: "blob" });
  if (!(rows instanceof Blob)) throw new Error("an export is a file");
  return rows;
}

export const measureWrite = (server: string, database: string, statement: string): Promise<WriteView> => api.measureWrite({ body: { server, database, statement }, headers: once() });
export const applyWrite = (write_id: string, typed_name: string, reason: string): Promise<OperationView> => api.applyWrite({ path: { write_id }, body: { typed_name, reason }, headers: once() });
export const undoWrite = (write_id: string): Promise<WriteView> => api.undoWrite({ path: { write_id }, headers: once() });
