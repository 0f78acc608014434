/**
 * Where the lines of a log view come from: first the newest ones there are, then a stream that goes on after the last
 * of them and that the browser resumes by itself. Lines that the engine has cut in pieces are put together again. Of a
 * container that is gone there is no stream, only the lines that were kept.
 */

import { useEffect, useRef, useState } from "react";

import { readContainerLogs, readKeptLog } from "@/api/sdk.gen";
import type { LineView } from "@/api/types.gen";
import { asProblem, Problem } from "@/lib/problem";

import type { LogBuffer, LogLine } from "./log-buffer";

export const MAX_MERGED = 4; // browsers keep six connections to one host, and one is the event stream's
/** What the portal sends in one answer, at most; all there is comes as a download. */
export const MAX_LINES_AT_ONCE = 20_000;
const SHOW_EVERY_MS = 80;
const MAX_JOINED = 256 * 1024; // characters of one line that came in pieces

const streamAddress = (name: string, since: string): string => `/api/containers/${encodeURIComponent(name)}/logs/follow?tail=${MAX_LINES_AT_ONCE}&since=${encodeURIComponent(since)}`;

/** Puts the pieces of one container's lines together. */
export class Joiner {
  readonly #open = new Map<LineView["stream"], LineView>();

  constructor(private readonly container: string) {}

  whole(pieces: readonly LineView[]): readonly LogLine[] {
    const lines: LogLine[] = [];
    for (const piece of pieces) {
      const begun = this.#open.get(piece.stream);
      const joined = begun ? { ...begun, text: (begun.text + piece.text).slice(0, MAX_JOINED) } : piece;
      if (piece.is_partial) this.#open.set(piece.stream, joined);
      else {
        this.#open.delete(piece.stream);
        lines.push({ at: joined.at, stream: joined.stream, text: joined.text, container: this.container });
      }
    }
    return lines;
  }
}

export type SourceState = "loading" | "live" | "lost" | "ended" | "failed";

export interface Sources {
  state: SourceState;
  problem: Problem | null;
  isTruncated: boolean;
}

/**
 * names    of the containers, at most MAX_MERGED
 * tail     how many lines to begin with, of each
 * epoch    anything; when it changes (a container was started again) the streams are opened anew
 * keptId   of the one container of `names` that is gone: its kept lines are shown, and none follow
 */
export function useLogSources(buffer: LogBuffer, names: readonly string[], tail: number, epoch: string, keptId?: string): Sources {
  const [state, setState] = useState<SourceState>("loading");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isTruncated, setTruncated] = useState(false);
  const shown = useRef(""); // what the buffer holds now
  const key = names.join(",");
  useEffect(() => {
    const abort = new AbortController();
    const streams: EventSource[] = [];
    const joiners = new Map(key.split(",").map((name) => [name, new Joiner(name)]));
    let waiting: LogLine[] = []; // a busy container says more in a second than can be drawn
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = (): void => {
      timer = undefined;
      setState("live");
      buffer.append(waiting);
      waiting = [];
    };
    const open = (name: string, since: string): void => {
      const stream = new EventSource(streamAddress(name, since));
      streams.push(stream);
      stream.addEventListener("open", () => setState("live"));
      stream.addEventListener("lines", (event) => {
        waiting.push(...(joiners.get(name)?.whole(JSON.parse((event as MessageEvent<string>).data) as LineView[]) ?? []));
        timer ??= setTimeout(show, SHOW_EVERY_MS);
      });
      stream.addEventListener("end", () => {
        stream.close();
        if (streams.every(({ readyState }) => readyState === EventSource.CLOSED)) setState("ended");
      });
      stream.addEventListener("problem", (event) => {
        stream.close();
        setProblem(new Problem(503, JSON.parse((event as MessageEvent<string>).data)));
        setState("failed");
      });
      stream.addEventListener("error", () => setState(stream.readyState === EventSource.CLOSED ? "ended" : "lost"));
    };
    const load = async (): Promise<void> => {
      const now = new Date().toISOString();
      const logs = await Promise.all(
        [...joiners.keys()].map(async (name) => {
          const wanted = { query: { tail }, signal: abort.signal };
          const log = keptId === undefined ? readContainerLogs({ path: { name }, ...wanted }) : readKeptLog({ path: { container_id: keptId }, ...wanted });
          return { name, ...(await log) };
        }),
      );
      const what = `${key} ${tail}`;
      if (shown.current !== what) buffer.clear(); // a restart shows the same log, which goes on
      shown.current = what;
      const lines = logs.flatMap(({ name, lines: pieces }) => joiners.get(name)?.whole(pieces) ?? []);
      buffer.append(logs.length > 1 ? lines.toSorted((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0)) : lines);
      setTruncated(logs.some(({ is_truncated }) => is_truncated));
      if (keptId === undefined) for (const { name, lines: pieces } of logs) open(name, pieces.at(-1)?.at ?? now);
      else setState("ended");
    };
    setState("loading");
    setProblem(null);
    load().catch((error: unknown) => {
      if (abort.signal.aborted) return;
      setProblem(asProblem(error));
      setState("failed");
    });
    return () => {
      abort.abort();
      clearTimeout(timer);
      buffer.append(waiting);
      for (const stream of streams) stream.close();
    };
  }, [buffer, key, tail, epoch, keptId]);
  return { state, problem, isTruncated };
}
