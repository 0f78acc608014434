/**
 * What an answer of the mail API means (wire.md, "Answer"). Pure.
 *
 * A message is accepted only by a receipt that echoes its id and its digest, since login and proxy pages answer 200
 * too. It is refused only by a problem document that echoes its id and carries a complete 5xx of SMTP, and never by a
 * status that speaks of our own deployment. Everything else is undecided: the message is kept.
 */

/** What came back over HTTP; `text` is null when the body could not be read, was too long or is no UTF-8. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string | null;
}

export type Verdict =
  | { readonly kind: "accepted"; readonly status: "delivered" | "queued" | "held" }
  | { readonly kind: "refused"; readonly reason: string }
  | Undecided;

export interface Undecided {
  readonly kind: "undecided";
  /** For the log: a few words, never text of a stranger's page. */
  readonly why: string;
  /** The slug of the problem, when our API itself speaks of this message; "" when anybody could have answered. */
  readonly problem: string;
  readonly status: number;
}

const RECEIPTS: Readonly<Record<number, ReadonlySet<unknown>>> = {
  200: new Set(["delivered"]),
  202: new Set(["queued", "held"]),
};

/** wire.md, "Never final": these say that request or deployment are wrong, whatever else stands in the answer. */
const NEVER_FINAL: ReadonlySet<number> = new Set([400, 401, 403, 408, 409, 429]);

const MAX_REASON = 200; // characters; an SMTP reply line has at most 512 octets (RFC 5321 4.5.3.1.5)

export function undecided(why: string, status = 0, problem = ""): Undecided {
  return { kind: "undecided", why, problem, status };
}

/** Given an answer and the message it should be about, return what became of that message. */
export function verdictOf(answer: Answer, message: { readonly id: string; readonly sha256: string }): Verdict {
  const { status } = answer;
  const type = (answer.contentType.split(";")[0] ?? "").trim().toLowerCase();
  const document = type === "application/json" || type === "application/problem+json" ? parsed(answer.text) : null;
  if (!document) return undecided(`status ${status} without a document of ours`, status);
  if (document["message_id"] !== message.id)
    return undecided(`status ${status} that does not echo the message id`, status);

  if (type === "application/json") {
    const isReceipt = RECEIPTS[status]?.has(document["status"]) && document["sha256"] === message.sha256;
    if (!isReceipt) return undecided(`status ${status} without a receipt`, status);
    return { kind: "accepted", status: document["status"] as "delivered" | "queued" | "held" };
  }
  if (status < 400) return undecided(`status ${status} with a problem`, status);
  const problem = slugOf(document["type"]);
  const reason = NEVER_FINAL.has(status) ? null : finalReason(document["smtp"]);
  return reason === null ? undecided(`problem ${problem}`, status, problem) : { kind: "refused", reason };
}

/** Return what the sender shall hear, or null when this is no complete final refusal. */
function finalReason(smtp: unknown): string | null {
  if (typeof smtp !== "object" || smtp === null) return null;
  const { code, enhanced, text } = smtp as Record<string, unknown>;
  if (typeof code !== "number" || !Number.isInteger(code) || code < 500 || code > 599) return null;
  if (typeof enhanced !== "string" || !/^5\.[0-9]{1,3}\.[0-9]{1,3}$/.test(enhanced)) return null;
  if (typeof text !== "string") return null;
  return rejection(enhanced, text);
}

/** The argument of `setReject`: one line of printable ASCII. */
export function rejection(enhanced: string, text: string): string {
  return `${enhanced} ${text}`
    .replaceAll(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, MAX_REASON);
}

function slugOf(type: unknown): string {
  const found = typeof type === "string" ? /^\/problems\/([a-z0-9-]{1,64})$/.exec(type) : null;
  return found?.[1] ?? "unknown";
}

function parsed(text: string | null): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
