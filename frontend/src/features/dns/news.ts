import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { useTopic } from "@/lib/events";
import type { OperationNews } from "@/lib/operations";

import { DNS } from "./requests";

const REFRESH_MS = 300; // a plan of many records says many things at once

/** Fetch zones and records again when the event stream says that something has changed. */
export function useDnsNews(): void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const refresh = (): void => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      // Differences between two points in time stay as they are, and resolvers are asked by hand.
      void client.invalidateQueries({ predicate: ({ queryKey: [room, what] }) => room === DNS[0] && what !== "propagation" });
    }, REFRESH_MS);
  };
  useTopic("dns", refresh);
  useTopic("operations", (event) => {
    const { act, state } = event as OperationNews;
    if (state !== "running" && (act.startsWith("dns:") || act.startsWith("mail-domains:"))) refresh();
  });
  useEffect(() => () => clearTimeout(timer.current), []);
}
