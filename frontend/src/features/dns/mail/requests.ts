import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { CheckView, DnsPlan, DomainPosture, FindingView, PostureOverview } from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";

import { DNS } from "../requests";

export type { CheckView, DomainPosture, FindingView };

const REFRESH_MS = 60_000;

export const postureQuery = queryOptions({
  queryKey: [...DNS, "posture"],
  queryFn: ({ signal }): Promise<PostureOverview> => api.readMailPosture({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const checkDomain = (zone: string): Promise<DomainPosture> => api.checkDomainPosture({ path: { zone }, headers: once() });
export const planFix = (zone: string, findings: string[]): Promise<DnsPlan> => api.planDomainFix({ path: { zone }, body: { findings }, headers: once() });
