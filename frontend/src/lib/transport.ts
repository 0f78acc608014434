/**
 * How the generated client speaks: same origin, JSON, and with what the portal wants to see of an unsafe request
 * (security.md 3.2). Every answer that is no success is thrown as a `Problem`.
 */

import type { CreateClientConfig } from "@/api/client.gen";

import { Problem } from "./problem";

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** Of requests that nobody asked for by hand: they do not keep a session alive. */
export const BACKGROUND = { "Homeport-Background": "1" } as const;

/** What a page asks by itself, such as a list after an event, is no activity of somebody who has gone away. */
const QUIET_MS = 60_000;
let touchedAt = performance.now();
for (const kind of ["pointerdown", "keydown", "wheel"]) addEventListener(kind, () => (touchedAt = performance.now()), { capture: true, passive: true });

/** A request that is sent twice, because a connection broke, is done once. */
export const once = (): { "Idempotency-Key": string } => ({ "Idempotency-Key": crypto.randomUUID() });

export const createClientConfig: CreateClientConfig = (config) => ({ ...config, baseUrl: "", fetch: send });

async function send(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  if (!SAFE.has(request.method)) {
    request.headers.set("X-CSRF", "1");
    request.headers.set("Content-Type", "application/json");
  }
  if (performance.now() - touchedAt > QUIET_MS) for (const [name, value] of Object.entries(BACKGROUND)) request.headers.set(name, value);
  let response: Response;
  try {
    response = await fetch(request);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw Problem.unreachable();
  }
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
  return response;
}
