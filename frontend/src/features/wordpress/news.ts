import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { useTopic } from "@/lib/events";
import type { OperationNews } from "@/lib/operations";

import { WORDPRESS } from "./requests";

const MEASURED = [["reach"], ["probes"]] as const; // queries that a probe's round changes
const REFRESH_MS = 300; // a reading of all sites says many things at once

/** Fetch the sites again when the event stream says that something has changed. */
export function useSiteNews(): void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const areAll = useRef(false);
  const refresh = ({ isProbe = false } = {}): void => {
    if (!isProbe) areAll.current = true;
    timer.current ??= setTimeout(() => {
      const keys = areAll.current ? [[]] : MEASURED;
      timer.current = undefined;
      areAll.current = false;
      for (const key of keys) void client.invalidateQueries({ queryKey: [...WORDPRESS, ...key] });
    }, REFRESH_MS);
  };
  useTopic("wordpress", (event) => refresh({ isProbe: (event as { kind?: string } | null)?.kind === "probe" }));
  useTopic("operations", (event) => {
    const { act, state } = event as OperationNews;
    if (state !== "running" && /^(?:wordpress|sites):/.test(act)) refresh();
  });
  useEffect(() => () => clearTimeout(timer.current), []);
}
