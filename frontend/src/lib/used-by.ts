import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { UsedByView } from "@/api/types.gen";

import { BACKGROUND } from "./transport";

/** What suffers while something is not there, as all rooms say it. */
export const usedByQuery = (kind: string, name: string) =>
  queryOptions({
    queryKey: ["used-by", kind, name],
    queryFn: ({ signal }): Promise<UsedByView> => api.readUses({ path: { kind, name }, signal, headers: BACKGROUND }),
  });
