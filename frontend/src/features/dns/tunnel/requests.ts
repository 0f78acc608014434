import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { NewRoute, NewRoutePlan, OrphanView, ProtectionView, RoutePlan, RouteView, TunnelOverview, TunnelView } from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";

import { DNS } from "../requests";

export type { NewRoute, OrphanView, ProtectionView, RouteView, TunnelOverview, TunnelView };

const REFRESH_MS = 60_000;

export const tunnelQuery = queryOptions({
  queryKey: [...DNS, "tunnel"],
  queryFn: ({ signal }): Promise<TunnelOverview> => api.readTunnel({ signal, headers: BACKGROUND }),
  refetchInterval: REFRESH_MS,
});

export const planRoutes = (wanted: NewRoutePlan): Promise<RoutePlan> => api.planTunnel({ body: wanted, headers: once() });
