/**
 * The one event stream of this tab (GET /api/events). The browser reconnects by itself and sends the last id; where
 * the portal cannot continue after it, `ready` says `resumed: false` and everything shown is fetched again.
 *
 * Topics are the stream's event names; whoever listens gets the parsed data. What cannot be parsed is passed over: the
 * page would fetch the truth anyway.
 */

import { useEffect, useEffectEvent, useSyncExternalStore } from "react";

export type StreamState = "connecting" | "live" | "lost";
type Listener = (data: unknown) => void;

const RETRY_MS = 3_000; // after the browser has given up, which it does on any answer but 200

export class EventStream {
  #source: EventSource | null = null;
  #state: StreamState = "connecting";
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #watchers = new Set<() => void>();
  readonly #topics = new Map<string, Set<Listener>>();
  readonly #attached = new Set<string>();

  constructor(
    private readonly url: string,
    private readonly onGap: () => void,
    private readonly onRefused: () => void,
  ) {}

  open(): void {
    this.close();
    this.#attached.clear();
    const source = new EventSource(this.url);
    this.#source = source;
    source.addEventListener("ready", (event) => {
      this.#become("live");
      if (!(parsed(event) as { resumed?: boolean } | null)?.resumed) this.onGap();
    });
    source.addEventListener("error", () => {
      this.#become("lost");
      if (source.readyState !== EventSource.CLOSED) return;
      this.onRefused(); // the session may have ended
      this.#retry = setTimeout(() => this.open(), RETRY_MS);
    });
    for (const topic of this.#topics.keys()) this.#attach(topic);
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  listen(topic: string, listener: Listener): () => void {
    const listeners = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, listeners.add(listener));
    this.#attach(topic);
    return () => listeners.delete(listener);
  }

  readonly watch = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  };

  readonly state = (): StreamState => this.#state;

  #attach(topic: string): void {
    if (!this.#source || this.#attached.has(topic)) return;
    this.#attached.add(topic);
    this.#source.addEventListener(topic, (event) => {
      const data = parsed(event);
      if (data !== null) for (const listener of this.#topics.get(topic) ?? []) listener(data);
    });
  }

  #become(state: StreamState): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const watcher of this.#watchers) watcher();
  }
}

function parsed(event: Event): unknown {
  try {
    return JSON.parse((event as MessageEvent<string>).data);
  } catch {
    return null;
  }
}

let current: EventStream | null = null;

/** Open this tab's stream as long as the caller is shown. */
export function useEventStream(onGap: () => void, onRefused: () => void): EventStream {
  current ??= new EventStream("/api/events", onGap, onRefused);
  const stream = current;
  useEffect(() => {
    stream.open();
    return () => stream.close();
  }, [stream]);
  return stream;
}

export function useStreamState(stream: EventStream): StreamState {
  return useSyncExternalStore(stream.watch, stream.state);
}

/** Call back for each event of a topic while the component is shown. */
export function useTopic(topic: string, onEvent: (data: unknown) => void): void {
  const handle = useEffectEvent(onEvent);
  useEffect(() => current?.listen(topic, (data) => handle(data)), [topic]);
}
