import { useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";

import { useTopic } from "@/lib/events";

import { CONTAINERS } from "./requests";

const REFRESH_MS = 300; // a stack that restarts says many things at once

/** Fetch the containers again when the event stream says that something has changed. */
export function useContainerNews(): void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useTopic("containers", () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      for (const what of ["list", "one", "events", "kept-logs"]) void client.invalidateQueries({ queryKey: [...CONTAINERS, what] });
    }, REFRESH_MS);
  });
}
