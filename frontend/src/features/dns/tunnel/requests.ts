import { queryOptions } from "@tanstack/react-query";

import * as api from "@/api/sdk.gen";
import type { NewRoute, NewRoutePlan, OrphanView, ProtectionView, RoutePlan, RouteView, TunnelOverview, TunnelView } from "@/api/types.gen";
import { BACKGROUND, once } from "@/lib/transport";

import { DNS } from "../requests";

export type { NewRoute, OrphanView, ProtectionView, RouteView, TunnelOverview, TunnelView };

const REFRESH_MS = 60_000;
const READING_MS = 5_000; // while the portal reads it for the first time
const UNREAD_MS = 15_000; // after that has failed, as long as the portal waits before it tries again

/** Nothing is known of the tunnel yet, and nothing keeps it from being read. */
export const isBeingRead = ({ connection: { state }, tunnel, read_at }: Pick<TunnelOverview, "connection" | "tunnel" | "read_at">): boolean => state === "connected" && tunnel === null && read_at === null;

/** What was never read is asked for sooner: nobody tells a page that it has been read since. */
export function refreshAfter(overview: Pick<TunnelOverview, "connection" | "tunnel" | "read_at">): number {
  if (isBeingRead(overview)) return READING_MS;
  return overview.tunnel === null && overview.read_at === null && overview.connection.state !== "not-configured" ? UNREAD_MS : REFRESH_MS;
}

/** The account has several tunnels, and a setting has to say which is Homeport's. */
export const isToBeChosen = ({ connection: { state, settings } }: Pick<TunnelOverview, "connection">): boolean => state === "not-configured" && settings.includes(SETTING);

const SETTING = "HOMEPORT_PORTAL_TUNNEL_ID";

export const tunnelQuery = queryOptions({
  queryKey: [...DNS, "tunnel"],
  queryFn: ({ signal }): Promise<TunnelOverview> => api.readTunnel({ signal, headers: BACKGROUND }),
  refetchInterval: ({ state: { data } }) => (data ? refreshAfter(data) : REFRESH_MS),
});

export const planRoutes = (wanted: NewRoutePlan): Promise<RoutePlan> => api.planTunnel({ body: wanted, headers: once() });
