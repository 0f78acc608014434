/**
 * Errors of the API. Transport throws `Problem`; screens decide what to show, by `type` and never by text.
 *
 * `type` is the slug behind /problems/ (docs/problems.md), or one of our own: `unreachable` when there was no answer at
 * all, `unexpected` when the answer was no problem document.
 */

export class Problem extends Error {
  readonly type: string;
  readonly status: number;
  readonly detail: string;
  readonly requestId: string | null;
  readonly members: Readonly<Record<string, unknown>>;

  constructor(status: number, document: unknown) {
    const members = isRecord(document) ? document : {};
    const title = text(members["title"]);
    super(title || `HTTP ${status}`);
    this.name = "Problem";
    this.status = status;
    this.type = slug(members["type"], status);
    this.detail = text(members["detail"]);
    this.requestId = text(members["request_id"]) || null;
    this.members = members;
  }

  /** Seconds after which another try makes sense, where the server said so. */
  get retryAfterSeconds(): number | null {
    const value = this.members["retry_after_s"] ?? this.members["retry_in_s"];
    return typeof value === "number" && value >= 0 ? Math.ceil(value) : null;
  }

  static unreachable(): Problem {
    return new Problem(0, { type: "/problems/unreachable", title: "The portal does not answer" });
  }
}

export function isProblem(error: unknown, type?: string): error is Problem {
  return error instanceof Problem && (type === undefined || error.type === type);
}

/** Whatever was thrown, as a problem: what is not one is a mistake of ours. */
export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, { type: "/problems/unexpected", title: String(error) });
}

function slug(type: unknown, status: number): string {
  const match = typeof type === "string" ? /^\/problems\/([a-z0-9-]{1,60})$/.exec(type) : null;
  if (match?.[1]) return match[1];
  return status === 502 || status === 503 || status === 504 ? "unreachable" : "unexpected";
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
