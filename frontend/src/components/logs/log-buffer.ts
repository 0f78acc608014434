/**
 * The lines of a log view: bounded, appended to many times a second, read by a virtual list.
 *
 * Lines are numbered from 0 in the order in which they were shown; `first` is the number of the oldest that is still
 * there. A line that comes twice (a stream that was resumed) is kept once: two lines of one container differ by their
 * time, which the engine gives to the nanosecond, their stream or their text.
 */

export interface LogLine {
  at: string;
  stream: "stdout" | "stderr";
  text: string;
  container: string;
}

export const MAX_LINES = 100_000;
const SLACK = MAX_LINES / 10; // dropped at once, so that dropping is rare
const REMEMBERED = 4_096; // newest lines that a resumed stream may repeat

export class LogBuffer {
  #lines: LogLine[] = [];
  #first = 0;
  #version = 0;
  readonly #recent = new Set<string>();
  readonly #listeners = new Set<() => void>();

  get first(): number {
    return this.#first;
  }

  get length(): number {
    return this.#lines.length;
  }

  /** The number after the newest line's. */
  get end(): number {
    return this.#first + this.#lines.length;
  }

  line(number: number): LogLine | undefined {
    return this.#lines[number - this.#first];
  }

  append(lines: readonly LogLine[]): void {
    const before = this.end;
    for (const line of lines) {
      const key = `${line.container}\n${line.at}\n${line.stream}\n${line.text}`;
      if (line.at !== "" && this.#recent.has(key)) continue;
      this.#remember(key);
      this.#lines.push(line);
    }
    if (this.#lines.length >= MAX_LINES + SLACK) {
      const dropped = this.#lines.length - MAX_LINES;
      this.#lines = this.#lines.slice(dropped);
      this.#first += dropped;
    }
    if (this.end !== before) this.#tell();
  }

  clear(): void {
    this.#first = this.end;
    this.#lines = [];
    this.#tell();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly version = (): number => this.#version;

  #remember(key: string): void {
    this.#recent.add(key);
    if (this.#recent.size > REMEMBERED) this.#recent.delete(this.#recent.values().next().value as string);
  }

  #tell(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }
}
