/** Keys: Ctrl-K for the palette, `?` for the list of keys, `g` and a letter for a page. Never while typing. */

import { useNavigate } from "@tanstack/react-router";
import { useEffect, useEffectEvent } from "react";

import { PAGES } from "./pages";

const SECOND_KEY_MS = 1_200;

export function useShortcuts(open: (what: "palette" | "help") => void): void {
  const navigate = useNavigate();
  const act = useEffectEvent((event: KeyboardEvent, afterG: boolean): "g" | null => {
    if (event.isComposing) return null;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open("palette");
      return null;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return null;
    const page = afterG && PAGES.find((each) => each.shortcut === `g ${event.key}`);
    if (page) void navigate({ to: page.path });
    else if (event.key === "?") open("help");
    else if (event.key === "g") return "g";
    return null;
  });
  useEffect(() => {
    let gAt = -Infinity;
    const listener = (event: KeyboardEvent): void => {
      gAt = act(event, event.timeStamp - gAt < SECOND_KEY_MS) === "g" ? event.timeStamp : -Infinity;
    };
    window.addEventListener("keydown", listener);
    return () => window.removeEventListener("keydown", listener);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) || target.closest("[role=dialog]") !== null);
}
