/** The one policy table, as the portal tells it (GET /api/policy): who may do what, and what is asked for before. */

import { useQuery } from "@tanstack/react-query";

import { policyQuery, type Role } from "./session";

export interface Permission {
  isPermitted: boolean;
  role: Role | null;
  needsTypedName: (isProtected?: boolean) => boolean;
}

/** What may be done by whoever looks. Nothing, as long as the table is not there. */
export function usePermission(act: string): Permission {
  const { data } = useQuery(policyQuery);
  const row = data?.acts.find((each) => each.name === act);
  return {
    isPermitted: row?.is_permitted ?? false,
    role: row?.role ?? null,
    needsTypedName: (isProtected = false) => row?.typed_name === true || (row?.typed_name === "protected" && isProtected),
  };
}
