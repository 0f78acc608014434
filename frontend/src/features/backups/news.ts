import { useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";

import { useTopic } from "@/lib/events";

import { BACKUPS } from "./requests";

const REFRESH_MS = 400; // a run says many things at once

/** Fetch the room again when the event stream says that the catalogue is new, or that one of its operations moves. */
export function useBackupNews(): void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const refresh = (): void => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      for (const what of ["overview", "point"]) void client.invalidateQueries({ queryKey: [...BACKUPS, what] });
    }, REFRESH_MS);
  };
  useTopic("backups", refresh);
  useTopic("operations", (event) => {
    if (String((event as { act?: unknown }).act).startsWith("backups:")) refresh();
  });
}
