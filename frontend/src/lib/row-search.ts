/** What the address of a table's page says of its rows. Filters stand there as the API takes them: a list in JSON. */

export const FILTER_KINDS = ["=", "<>", "<", "<=", ">", ">=", "contains", "starts-with", "null", "not-null"] as const; // portal/databases/schemas.py
export type FilterKind = (typeof FILTER_KINDS)[number];

export interface RowFilter {
  column: string;
  is: FilterKind;
  value: string;
}

export interface RowSearch {
  tab?: "rows";
  sort?: string;
  down?: true;
  where?: readonly RowFilter[];
}

const MAX_FILTERS = 10;
const MAX_NAME = 64;
const MAX_VALUE = 1000;

export function rowSearch(search: Readonly<Record<string, unknown>>): RowSearch {
  const sort = search["sort"];
  const where = Array.isArray(search["where"]) ? search["where"].flatMap(filterOf).slice(0, MAX_FILTERS) : [];
  return {
    tab: search["tab"] === "rows" ? "rows" : undefined,
    sort: typeof sort === "string" && sort !== "" ? sort.slice(0, MAX_NAME) : typeof sort === "number" ? String(sort) : undefined,
    down: search["down"] === true ? true : undefined,
    where: where.length > 0 ? where : undefined,
  };
}

/** One filter of an address, which anybody may have typed; nothing when it is none. */
function filterOf(each: unknown): readonly RowFilter[] {
  if (typeof each !== "object" || each === null) return [];
  const { column, is, value } = each as Readonly<Record<string, unknown>>;
  const kind = FILTER_KINDS.find((known) => known === is);
  if (typeof column !== "string" || column === "" || column.length > MAX_NAME || kind === undefined) return [];
  return [{ column, is: kind, value: typeof value === "string" ? value.slice(0, MAX_VALUE) : "" }];
}
