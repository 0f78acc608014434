/** One request to the mail API: signed anew, within a deadline, without following redirects. */

import type { Origin } from "./environment";
import { reasonOf } from "./log";
import { type Announced, signedHeaders } from "./signature";
import { type Answer, type Verdict, undecided, verdictOf } from "./verdict";

export const MESSAGES = "/v1/messages";
export const HEALTH = "/v1/health";
const MAX_ANSWER_BYTES = 64 * 1024; // ours have a few hundred

/** A message as the wire knows it: addresses in base64url, everything else as text or number of the same meaning. */
export interface Message {
  readonly id: string;
  readonly mailFrom: string;
  readonly rcptTo: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Epoch seconds of first receipt; only on a drain. */
  readonly retainedAtS?: number;
}

/** Post a message and return what became of it. Never throws: whatever goes wrong is undecided. */
export async function post(
  origin: Origin,
  message: Message,
  body: Uint8Array | ReadableStream,
  deadlineMs: number,
  nowMs: number,
): Promise<Verdict> {
  const announced: Announced = {
    messageId: message.id,
    mailFrom: message.mailFrom,
    rcptTo: message.rcptTo,
    contentLength: String(message.sizeBytes),
    contentSha256: message.sha256,
    retainedAt: message.retainedAtS === undefined ? "" : String(message.retainedAtS),
  };
  try {
    const headers = await signedHeaders(origin.key, nowMs / 1000, "POST", MESSAGES, announced);
    headers.set("Content-Type", "message/rfc822");
    return verdictOf(await ask(origin, MESSAGES, { method: "POST", headers, body }, deadlineMs), message);
  } catch (error) {
    return undecided(reasonOf(error));
  }
}

/** Ask `GET /v1/health`; the answer is the caller's to judge. Throws when there is none. */
export async function askHealth(origin: Origin, deadlineMs: number, nowMs: number): Promise<Answer> {
  const headers = await signedHeaders(origin.key, nowMs / 1000, "GET", HEALTH);
  return ask(origin, HEALTH, { method: "GET", headers }, deadlineMs);
}

async function ask(
  origin: Origin,
  path: string,
  init: { method: string; headers: Headers; body?: Uint8Array | ReadableStream },
  deadlineMs: number,
): Promise<Answer> {
  for (const [name, value] of Object.entries(origin.headers)) init.headers.set(name, value);
  // the signal covers the body too: an answer that never ends is no answer
  const signal = AbortSignal.timeout(Math.max(deadlineMs, 0));
  const response = await fetch(origin.url + path, { ...init, redirect: "manual", signal });
  return {
    status: response.status,
    contentType: response.headers.get("Content-Type") ?? "",
    text: await readAnswer(response),
  };
}

async function readAnswer(response: Response): Promise<string | null> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  let text = "";
  let size = 0;
  // leaving this loop early cancels the rest of the answer; one that was read to its end keeps its connection
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) return null;
    try {
      text += decoder.decode(chunk, { stream: true });
    } catch {
      return null; // not UTF-8
    }
  }
  return text;
}
