import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type {
  AccountList,
  ChangeGrants,
  ColumnView,
  DatabaseAccountView,
  DatabaseSummary,
  DatabaseView,
  DownloadDatabaseData,
  DumpList,
  DumpView,
  GrantView,
  Killed,
  OperationView,
  ProcessList,
  ProcessView,
  RowPage,
  ServerList,
  ServerView,
  SlowList,
  SlowQuery,
  TableSummary,
  TableView,
  UploadView,
  WithPassword,
} from "@/api/types.gen";
import type { RowSearch } from "@/lib/row-search";
import { BACKGROUND, once } from "@/lib/transport";

export type { ColumnView, DatabaseAccountView, DatabaseSummary, DatabaseView, DumpView, GrantView, OperationView, ProcessList, ProcessView, RowPage, ServerList, ServerView, SlowList, SlowQuery, TableSummary, TableView, UploadView, WithPassword };
export type Compression = NonNullable<NonNullable<DownloadDatabaseData["query"]>["compression"]>;
export type Privilege = ChangeGrants["privileges"][number];
export type Cell = RowPage["rows"][number][number];

export const DATABASES = ["databases"] as const;
const REFRESH_MS = 15_000; // the portal looks at a server at most every ten seconds
const PROCESSES_MS = 5_000;
const SLOW_QUERIES = 100;
export const PAGE_SIZE = 50;

export const serversQuery = queryOptions({
  queryKey: [...DATABASES, "servers"],
  queryFn: ({ signal }): Promise<ServerList> => api.listServers({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const serverQuery = (server: string) =>
  queryOptions({
    queryKey: [...DATABASES, "server", server],
    queryFn: ({ signal }): Promise<ServerView> => api.readServer({ path: { server }, signal, headers: BACKGROUND }),
    refetchInterval: REFRESH_MS,
  });

export const databaseQuery = (server: string, database: string) =>
  queryOptions({
    queryKey: [...DATABASES, "database", server, database],
    queryFn: ({ signal }): Promise<DatabaseView> => api.readDatabase({ path: { server, database }, signal, headers: BACKGROUND }),
  });

export const tableQuery = (server: string, database: string, table: string) =>
  queryOptions({
    queryKey: [...DATABASES, "table", server, database, table],
    queryFn: ({ signal }): Promise<TableView> => api.readTable({ path: { server, database, table }, signal, headers: BACKGROUND }),
  });

/** Pages of rows, one after another: a page's `after` is where the next one begins. */
export const rowsQuery = (server: string, database: string, table: string, { sort, down, where }: RowSearch) =>
  infiniteQueryOptions({
    queryKey: [...DATABASES, "rows", server, database, table, { sort, down, where }],
    queryFn: ({ pageParam, signal }): Promise<RowPage> =>
      api.browseRows({
        path: { server, database, table },
        query: { sort, descending: down === true, filters: where ? JSON.stringify(where) : undefined, limit: PAGE_SIZE, after: pageParam ?? undefined },
        signal,
      }),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.after,
    placeholderData: (previous, query) => (query?.queryKey[4] === table && query.queryKey[3] === database ? previous : undefined),
  });

export const processesQuery = (server: string) =>
  queryOptions({
    queryKey: [...DATABASES, "processes", server],
    queryFn: ({ signal }): Promise<ProcessList> => api.listProcesses({ path: { server }, signal, headers: BACKGROUND }),
    refetchInterval: PROCESSES_MS,
  });

export const slowQuery = (server: string) =>
  queryOptions({
    queryKey: [...DATABASES, "slow", server],
    queryFn: ({ signal }): Promise<SlowList> => api.listSlowQueries({ path: { server }, query: { limit: SLOW_QUERIES }, signal, headers: BACKGROUND }),
  });

export const accountsQuery = (server: string) =>
  queryOptions({
    queryKey: [...DATABASES, "accounts", server],
    queryFn: ({ signal }): Promise<AccountList> => api.listAccounts({ path: { server }, signal, headers: BACKGROUND }),
  });

export const dumpsQuery = queryOptions({
  queryKey: [...DATABASES, "dumps"],
  queryFn: ({ signal }): Promise<DumpList> => api.listDumps({ signal, headers: BACKGROUND }),
});

export const checkServer = (server: string): Promise<Awaited<ReturnType<typeof api.checkServer>>> => api.checkServer({ path: { server } });
export const killProcess = (server: string, process: number, what: Killed["what"]): Promise<Killed> => api.killProcess({ path: { server, process }, body: { what }, headers: once() });
export const createDatabase = (server: string, database: string, account: string | null): Promise<WithPassword> => api.createDatabase({ path: { server }, body: { database, account }, headers: once() });
export const rotatePassword = (server: string, account: string): Promise<WithPassword> => api.rotatePassword({ path: { server, account }, headers: once() });
export const changeGrants = (server: string, account: string, database: string, privileges: Privilege[]): Promise<OperationView> =>
  api.changeGrants({ path: { server, account }, body: { database, privileges }, headers: once() });
export const dropDatabase = (server: string, database: string, typed_name: string, account: string[]): Promise<OperationView> =>
  api.dropDatabase({ path: { server, database }, query: { typed_name, account }, headers: once() });
export const keepDump = (server: string, database: string): Promise<OperationView> => api.keepDump({ path: { server, database }, headers: once() });
export const loadDump = (server: string, database: string, from: { upload: string } | { dump: string }, typed_name: string): Promise<OperationView> =>
  api.loadDump({ path: { server, database }, body: { ...from, typed_name }, headers: once() });

export const beginUpload = (name: string, bytes: number): Promise<UploadView> => api.beginUpload({ body: { name, bytes }, headers: once() });
export const sendPiece = (upload: string, offset: number, data: string, signal: AbortSignal): Promise<UploadView> => api.uploadPiece({ path: { upload, offset }, body: { data }, headers: once(), signal });
export const removeUpload = (upload: string): Promise<unknown> => api.removeUpload({ path: { upload }, headers: once() });

export const dumpAddress = (server: string, database: string, compression: Compression): string => `/api/databases/${encodeURIComponent(server)}/${encodeURIComponent(database)}/dump?compression=${compression}`;
export const keptDumpAddress = (id: string): string => `/api/databases/dumps/${encodeURIComponent(id)}`;
