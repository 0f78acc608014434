/** How logs are shown: kept on this device, because it is asked for again every time (ux.md 1). */

import { useState } from "react";

export interface LogOptions {
  stream: "both" | "stdout" | "stderr";
  wraps: boolean;
  withTime: boolean;
  isExpression: boolean;
  onlyMatches: boolean;
}

const STORED = "homeport.logs";
const USUAL: LogOptions = { stream: "both", wraps: false, withTime: true, isExpression: false, onlyMatches: false };

export function useLogOptions(): readonly [LogOptions, (some: Partial<LogOptions>) => void] {
  const [options, setOptions] = useState(stored);
  const change = (some: Partial<LogOptions>): void => {
    const next = { ...options, ...some };
    setOptions(next);
    try {
      localStorage.setItem(STORED, JSON.stringify(next));
    } catch {
      // storage is blocked: it holds for this view only
    }
  };
  return [options, change];
}

function stored(): LogOptions {
  try {
    const known = JSON.parse(localStorage.getItem(STORED) ?? "{}") as Partial<LogOptions>;
    const stream = known.stream === "stdout" || known.stream === "stderr" ? known.stream : USUAL.stream;
    const flag = (name: "wraps" | "withTime" | "isExpression" | "onlyMatches"): boolean => (typeof known[name] === "boolean" ? known[name] : USUAL[name]);
    return { stream, wraps: flag("wraps"), withTime: flag("withTime"), isExpression: flag("isExpression"), onlyMatches: flag("onlyMatches") };
  } catch {
    return USUAL;
  }
}
