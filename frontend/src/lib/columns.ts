/** Which columns a table shows: what the address says, else what was chosen on this device, else what the table proposes. */

const STORED = "homeport.columns.";

export function chosenColumns<T extends string>(table: string, all: readonly T[], proposed: readonly T[], address: string | undefined): readonly T[] {
  return known(all, address) ?? known(all, stored(table)) ?? proposed;
}

/** Keep a choice on this device, and return what the address says of it. */
export function keepColumns<T extends string>(table: string, chosen: readonly T[], proposed: readonly T[]): string | undefined {
  const isProposed = chosen.length === proposed.length && chosen.every((each) => proposed.includes(each));
  try {
    if (isProposed) localStorage.removeItem(STORED + table);
    else localStorage.setItem(STORED + table, chosen.join(","));
  } catch {
    // storage is blocked: it holds for this address only
  }
  return isProposed ? undefined : chosen.join(",");
}

/** In the table's order; null when it names no column that there is. */
function known<T extends string>(all: readonly T[], text: string | null | undefined): readonly T[] | null {
  const names = new Set((text ?? "").split(","));
  const columns = all.filter((each) => names.has(each));
  return columns.length === 0 ? null : columns;
}

function stored(table: string): string | null {
  try {
    return localStorage.getItem(STORED + table);
  } catch {
    return null;
  }
}
