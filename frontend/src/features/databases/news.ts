import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { useTopic } from "@/lib/events";
import type { OperationNews } from "@/lib/operations";

import { CONSOLE } from "./console/requests";
import { DATABASES } from "./requests";

const REFRESH_MS = 300;
const BY_HAND: ReadonlySet<unknown> = new Set(["rows"]); // who reads rows turns the pages

/** Fetch servers, databases and dumps again when the event stream says that something has changed. */
export function useDatabaseNews(): void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const refresh = (): void => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void client.invalidateQueries({ predicate: ({ queryKey: [room, what] }) => (room === DATABASES[0] && !BY_HAND.has(what)) || (room === CONSOLE[0] && what === "writes") });
    }, REFRESH_MS);
  };
  useTopic("databases", refresh);
  useTopic("operations", (event) => {
    const { act, state } = event as OperationNews;
    if (state !== "running" && /^(?:databases|console|sites|wordpress):/.test(act)) refresh();
  });
  useEffect(() => () => clearTimeout(timer.current), []);
}
