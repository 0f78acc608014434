/** Who is logged in, and what may be done by whom. */

import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { PolicyView, Role, SessionView } from "@/api/types.gen";

import { BACKGROUND } from "./transport";

export type { Role, SessionView };

export type Factor = "passkey" | "totp" | "password";

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => api.readSession({ signal, headers: BACKGROUND }),
  staleTime: 60_000,
  refetchInterval: 60_000,
});

export const policyQuery = queryOptions({
  queryKey: ["policy"],
  queryFn: ({ signal }): Promise<PolicyView> => api.readPolicy({ signal }),
  staleTime: Infinity,
});
