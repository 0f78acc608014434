/**
 * Live logs of one container or several: follow, pause, search with context, both streams, colours, download. Only what
 * is in sight is in the document, so that 100,000 lines cost what fifty do. Scrolling up stops following; at the end it
 * begins again.
 */

import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp, ChevronsDown, Download, Maximize2, Minimize2, Pause, Play } from "lucide-react";
import { useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, IconButton } from "../button";
import { FilterBox } from "../field";
import { InlineError } from "../states";
import { Status, type Tone } from "../status";
import { withoutAnsi } from "@/lib/ansi";
import { saveText } from "@/lib/download";

import { LogBuffer } from "./log-buffer";
import { LogRow } from "./log-row";
import { LogSearch, matcherOf } from "./log-search";
import { useLogOptions } from "./options";
import { MAX_LINES_AT_ONCE, useLogSources, type SourceState } from "./sources";

const ROW_PX = 20;
const NEAR_END_PX = 24;
const CONTEXT_LINES = 3;
const TAILS = [1_000, 5_000, MAX_LINES_AT_ONCE] as const;
const TONES: Record<SourceState, Tone> = { loading: "running", live: "good", lost: "warn", ended: "idle", failed: "bad" };

export default function LogView({
  names,
  epoch,
  download,
  keptId,
}: {
  names: readonly string[];
  epoch: string;
  download?: string; // where all there is can be had; without it, what is shown is saved
  keptId?: string; // of a container that is gone: nothing more will come
}): ReactNode {
  const { t } = useTranslation();
  const [buffer] = useState(() => new LogBuffer());
  const version = useSyncExternalStore(buffer.subscribe, buffer.version);
  const [options, change] = useLogOptions();
  const [tail, setTail] = useState<number>(TAILS[0]);
  const { state, problem, isTruncated } = useLogSources(buffer, names, tail, epoch, keptId);

  const [typed, setTyped] = useState("");
  const wanted = useDeferredValue(typed);
  const found = useMemo(() => matcherOf(wanted, options.isExpression), [wanted, options.isExpression]);
  const matcher = found === "invalid" ? null : found;
  const search = useMemo(() => matcher && new LogSearch(buffer, matcher), [buffer, matcher]);

  const [pausedAt, setPausedAt] = useState<number | null>(null);
  const [isFollowing, setFollowing] = useState(true);
  const [isLarge, setLarge] = useState(false);
  const [current, setCurrent] = useState<number | null>(null); // number of the line that was jumped to
  const end = pausedAt ?? buffer.end;

  /** Which lines are shown; null when it is all of them. */
  const numbers = useMemo(() => {
    void version; // the buffer is the same object however much it holds
    const base = search && options.onlyMatches ? search.withContext(CONTEXT_LINES) : null;
    if (!base && options.stream === "both") return null;
    const all = base ?? Array.from({ length: buffer.length }, (_, index) => buffer.first + index);
    return options.stream === "both" ? all : all.filter((number) => buffer.line(number)?.stream === options.stream);
  }, [buffer, search, version, options.onlyMatches, options.stream]);
  const matches = useMemo(() => {
    void version;
    return search?.matches() ?? [];
  }, [search, version]);
  const count = numbers ? numbers.filter((number) => number < end).length : Math.max(0, end - buffer.first);
  const numberAt = (index: number): number => numbers?.[index] ?? buffer.first + index;

  const scroller = useRef<HTMLDivElement>(null);
  const lastTop = useRef(0);
  const lastHeight = useRef(0);
  const rows = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 24,
    getItemKey: numberAt,
  });

  const height = rows.getTotalSize();
  useLayoutEffect(() => {
    if (isFollowing && scroller.current) scroller.current.scrollTop = height;
  }, [isFollowing, height, isLarge]);

  // What is dropped at the beginning must not move what is being read.
  const first = useRef(buffer.first);
  useLayoutEffect(() => {
    const dropped = buffer.first - first.current;
    first.current = buffer.first;
    if (dropped > 0 && !isFollowing && !numbers && scroller.current) scroller.current.scrollTop -= dropped * ROW_PX;
  }, [buffer, version, isFollowing, numbers]);

  useEffect(() => rows.measure(), [rows, options.wraps, options.withTime]);

  const jump = (step: 1 | -1): void => {
    if (matches.length === 0) return;
    const at = current ?? (step > 0 ? -1 : Infinity);
    const next = (step > 0 ? matches.find((number) => number > at) : matches.findLast((number) => number < at)) ?? (step > 0 ? matches[0] : matches.at(-1));
    if (next === undefined) return;
    setCurrent(next);
    setFollowing(false);
    rows.scrollToIndex(numbers ? numbers.indexOf(next) : next - buffer.first, { align: "center" });
  };
  const position = current === null ? 0 : matches.indexOf(current) + 1;
  const save = (): void => {
    const lines: string[] = [];
    for (let number = buffer.first; number < buffer.end; number += 1) {
      const line = buffer.line(number);
      if (line) lines.push(`${line.at} ${names.length > 1 ? `${line.container} ` : ""}${line.stream} ${withoutAnsi(line.text)}\n`);
    }
    saveText(`${names.join("+")}.log`, lines.join(""));
  };

  return (
    <section aria-label={t("logs.title")} className={`flex flex-col rounded-lg border border-line bg-panel ${isLarge ? "fixed inset-0 z-30 rounded-none" : "h-[max(22rem,calc(100dvh-15rem))]"}`}>
      <div className="flex flex-wrap items-center gap-1.5 border-b border-line p-1.5">
        <FilterBox
          label={t("logs.search")}
          className="max-w-64 flex-1 basis-40"
          value={typed}
          aria-invalid={found === "invalid" || undefined}
          onChange={(event) => {
            setTyped(event.target.value);
            setCurrent(null);
          }}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.nativeEvent.isComposing) return;
            event.preventDefault();
            jump(event.shiftKey ? -1 : 1);
          }}
        />
        {wanted !== "" && (
          <>
            <span role="status" className="text-xs whitespace-nowrap text-muted">
              {found === "invalid" ? t("logs.badExpression") : t("logs.matches", { position, count: matches.length })}
            </span>
            <IconButton label={t("logs.previous")} onClick={() => jump(-1)}>
              <ArrowUp size={15} aria-hidden />
            </IconButton>
            <IconButton label={t("logs.next")} onClick={() => jump(1)}>
              <ArrowDown size={15} aria-hidden />
            </IconButton>
            <Toggle label={t("logs.onlyMatches")} isOn={options.onlyMatches} onChange={(onlyMatches) => change({ onlyMatches })} />
          </>
        )}
        <Toggle label={t("logs.expression")} isOn={options.isExpression} onChange={(isExpression) => change({ isExpression })} />
        <span className="mx-1 hidden h-5 w-px bg-line sm:block" />
        <select
          aria-label={t("logs.stream")}
          className="target rounded border border-edge bg-panel px-1.5 text-xs"
          value={options.stream}
          onChange={(event) => change({ stream: event.target.value as typeof options.stream })}
        >
          <option value="both">stdout + stderr</option>
          <option value="stdout">stdout</option>
          <option value="stderr">stderr</option>
        </select>
        <select aria-label={t("logs.tail")} className="target rounded border border-edge bg-panel px-1.5 text-xs" value={tail} onChange={(event) => setTail(Number(event.target.value))}>
          {TAILS.map((each) => (
            <option key={each} value={each}>
              {t("logs.newest", { count: each })}
            </option>
          ))}
        </select>
        <Toggle label={t("logs.wrap")} isOn={options.wraps} onChange={(wraps) => change({ wraps })} />
        <Toggle label={t("logs.times")} isOn={options.withTime} onChange={(withTime) => change({ withTime })} />
        <span className="ml-auto flex items-center gap-1">
          {keptId === undefined && (
            <Button onClick={() => setPausedAt(pausedAt === null ? buffer.end : null)} aria-pressed={pausedAt !== null}>
              {pausedAt === null ? <Pause size={14} aria-hidden /> : <Play size={14} aria-hidden />}
              {pausedAt === null ? t("logs.pause") : t("logs.resume", { count: buffer.end - pausedAt })}
            </Button>
          )}
          {download ? (
            <a href={download} download aria-label={t("common.download")} title={t("common.download")} className="target inline-flex items-center justify-center rounded px-1 hover:bg-sunken">
              <Download size={15} aria-hidden />
            </a>
          ) : (
            <IconButton label={t("common.download")} onClick={save}>
              <Download size={15} aria-hidden />
            </IconButton>
          )}
          <IconButton label={t(isLarge ? "logs.smaller" : "logs.larger")} aria-pressed={isLarge} onClick={() => setLarge(!isLarge)}>
            {isLarge ? <Minimize2 size={15} aria-hidden /> : <Maximize2 size={15} aria-hidden />}
          </IconButton>
        </span>
      </div>
      {problem && (
        <div className="p-2">
          <InlineError error={problem} />
        </div>
      )}
      <div className="relative min-h-0 flex-1">
        <div
          ref={scroller}
          role="log"
          aria-live="off"
          aria-label={t("logs.linesOf", { names: names.join(", ") })}
          // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls can be scrolled by keys
          tabIndex={0}
          className="h-full overflow-auto bg-sunken font-mono text-xs [overflow-anchor:none]"
          onScroll={(event) => {
            const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
            const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
            if (isAtEnd) setFollowing(true);
            else if (scrollTop < lastTop.current - ROW_PX && scrollHeight === lastHeight.current) setFollowing(false); // by hand
            lastTop.current = scrollTop;
            lastHeight.current = scrollHeight;
          }}
        >
          <div className="relative min-w-full" style={{ height }}>
            <div className={options.wraps ? "absolute inset-x-0 top-0" : "absolute top-0 left-0 min-w-full"} style={{ transform: `translateY(${rows.getVirtualItems()[0]?.start ?? 0}px)` }}>
              {rows.getVirtualItems().map((item) => {
                const number = numberAt(item.index);
                const line = buffer.line(number);
                const isAfterGap = numbers !== null && options.onlyMatches && item.index > 0 && numberAt(item.index - 1) !== number - 1;
                return (
                  <div key={item.key} data-index={item.index} ref={options.wraps ? rows.measureElement : undefined} className={isAfterGap ? "border-t border-dashed border-line" : ""}>
                    {line && <LogRow line={line} matcher={matcher} isCurrent={number === current} withTime={options.withTime} withContainer={names.length > 1} wraps={options.wraps} />}
                  </div>
                );
              })}
            </div>
          </div>
          {count === 0 && state !== "loading" && !problem && <p className="absolute top-0 left-0 p-3 font-sans text-sm text-muted">{t(buffer.length === 0 ? "logs.empty" : "common.nothingMatches")}</p>}
        </div>
        {!isFollowing && (
          <Button className="absolute right-5 bottom-3 shadow-md" onClick={() => setFollowing(true)}>
            <ChevronsDown size={14} aria-hidden />
            {t("logs.toEnd")}
          </Button>
        )}
      </div>
      <footer className="flex flex-wrap items-center gap-x-4 gap-y-0.5 border-t border-line px-3 py-1 text-xs text-muted">
        <span role="status">
          <Status tone={pausedAt === null ? TONES[state] : "idle"}>{pausedAt === null ? t(`logs.state.${state}`) : t("logs.state.paused")}</Status>
        </span>
        <span>{t("logs.count", { count: buffer.length })}</span>
        {isTruncated && <span>{t("logs.truncated")}</span>}
      </footer>
    </section>
  );
}

function Toggle({ label, isOn, onChange }: { label: string; isOn: boolean; onChange: (isOn: boolean) => void }): ReactNode {
  return (
    <button
      type="button"
      aria-pressed={isOn}
      onClick={() => onChange(!isOn)}
      className="target rounded border border-edge/60 px-2 text-xs whitespace-nowrap hover:bg-sunken aria-pressed:border-accent aria-pressed:bg-accent/12"
    >
      {label}
    </button>
  );
}
