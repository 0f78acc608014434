import { memo, type ReactNode } from "react";

import { parseAnsi, type Span } from "@/lib/ansi";
import { absoluteTime } from "@/lib/format";

import type { LogLine } from "./log-buffer";
import type { Matcher } from "./log-search";

const MAX_SHOWN = 20_000; // characters; the whole line is in the download

export const LogRow = memo(function LogRow({
  line,
  matcher,
  isCurrent,
  withTime,
  withContainer,
  wraps,
}: {
  line: LogLine;
  matcher: Matcher | null;
  isCurrent: boolean;
  withTime: boolean;
  withContainer: boolean;
  wraps: boolean;
}): ReactNode {
  const spans = marked(parseAnsi(line.text.slice(0, MAX_SHOWN)), matcher);
  const isError = line.stream === "stderr";
  return (
    <div className={`flex min-h-5 gap-2 border-l-2 pr-3 pl-2 leading-5 ${isError ? "border-warn" : "border-transparent"} ${isCurrent ? "bg-accent/20" : "hover:bg-panel"}`}>
      {withTime && line.at && <time className="shrink-0 text-muted select-none">{timeOf(line.at)}</time>}
      {withContainer && <span className="w-28 shrink-0 truncate text-muted select-none sm:w-36">{line.container}</span>}
      <span className={`w-7 shrink-0 select-none ${isError ? "text-warn" : "text-muted"}`}>{isError ? "err" : "out"}</span>
      <bdi dir="auto" className={wraps ? "min-w-0 break-all whitespace-pre-wrap" : "whitespace-pre"}>
        {spans.map(({ text, className, isMatch }, index) =>
          isMatch ? (
            <mark key={index} className={`rounded-xs bg-[light-dark(#ffe08a,#6b5200)] text-ink ${className}`}>
              {text}
            </mark>
          ) : (
            <span key={index} className={className}>
              {text}
            </span>
          ),
        )}
      </bdi>
    </div>
  );
});

function timeOf(at: string): string {
  const local = absoluteTime(at, { zone: false });
  return local.length >= 19 ? `${local.slice(5)}.${(/\.(\d{1,3})/.exec(at)?.[1] ?? "0").padEnd(3, "0")}` : local;
}

export interface MarkedSpan extends Span {
  isMatch: boolean;
}

/** Spans cut where matches begin and end. Matches are looked for in what is shown, across colours. */
export function marked(spans: readonly Span[], matcher: Matcher | null): readonly MarkedSpan[] {
  if (!matcher) return spans.map((span) => ({ ...span, isMatch: false }));
  const ranges = matcher.ranges(spans.map(({ text }) => text).join(""));
  const pieces: MarkedSpan[] = [];
  let offset = 0;
  for (const { text, className } of spans) {
    const end = offset + text.length;
    let at = offset;
    for (const [from, to] of ranges) {
      if (to <= at || from >= end) continue;
      if (from > at) pieces.push({ text: text.slice(at - offset, from - offset), className, isMatch: false });
      pieces.push({ text: text.slice(Math.max(from, at) - offset, Math.min(to, end) - offset), className, isMatch: true });
      at = Math.min(to, end);
    }
    if (at < end) pieces.push({ text: text.slice(at - offset), className, isMatch: false });
    offset = end;
  }
  return pieces;
}
