/** The command that does the same from a terminal (ux.md rule 7). */

import type { RowSearch } from "@/lib/row-search";
import { quoted } from "@/lib/shell";

const place = (server: string, database: string): string => quoted(`${server}/${database}`);

export const showCommand = (server: string, database: string, table?: string): string => `homeport db show ${place(server, database)}${table === undefined ? "" : ` ${quoted(table)}`}`;

export function rowsCommand(server: string, database: string, table: string, { sort, down, where = [] }: RowSearch): string {
  const options = [
    sort === undefined ? "" : ` --sort ${quoted(sort)}`,
    down ? " --descending" : "",
    ...where.map(({ column, is, value }) => ` --where ${quoted(is === "null" || is === "not-null" ? `${column}:${is}` : `${column}:${is}:${value}`)}`),
  ];
  return `homeport db rows ${place(server, database)} ${quoted(table)}${options.join("")}`;
}

export const createCommand = (server: string, database: string, account: string): string =>
  `homeport db create ${place(server, database || "DATABASE")}${account === "" || account === database ? "" : ` --account ${quoted(account)}`}`;
export const grantCommand = (server: string, database: string, account: string, privileges: readonly string[]): string =>
  [`homeport db grant ${place(server, database)} ${quoted(account)}`, ...privileges.map(quoted)].join(" ");
export const dropCommand = (server: string, database: string, accounts: readonly string[]): string =>
  [`homeport db drop ${place(server, database)}`, ...accounts.map((each) => `--account ${quoted(each)}`)].join(" ");
export const loadCommand = (server: string, database: string, from: string | null, kept: string | null): string =>
  `homeport db load ${place(server, database)} ${kept === null ? quoted(from ?? "FILE") : `--dump ${kept}`}`;

const STATEMENTS = { query: "'SELECT …'", export: "'SELECT …'", write: "'UPDATE …'" } as const;

/** A statement of several lines would not be a line to copy: then it comes from standard input. */
export function consoleCommand(act: "query" | "export" | "write", server: string, database: string | undefined, statement: string): string {
  const text = statement.trim();
  const word = text === "" ? STATEMENTS[act] : text.includes("\n") ? "-" : quoted(text);
  return `homeport db ${act} ${server} ${word}${database === undefined ? "" : ` --database ${quoted(database)}`}${act === "export" ? " --to rows.csv" : ""}`;
}
