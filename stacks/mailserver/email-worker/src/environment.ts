/**
 * What the Worker is given: bindings and settings (wire.md, "Worker environment").
 *
 * Only the mail API's address and key are required, and even their absence loses nothing: without a usable origin
 * every message is undecided, so it is retained. A number that makes no sense is replaced by its default and logged;
 * mail is not stopped by a typing error.
 */

import { fromHex } from "./encoding";
import { log } from "./log";
import type { Key } from "./signature";

export interface Env {
  MAIL_API_URL?: string;
  MAIL_API_KEY_ID?: string;
  MAIL_API_KEY?: string;
  RETAINED?: R2Bucket;
  RECIPIENTS?: KVNamespace;
  RECIPIENTS_KEY?: string;
  ACCESS_CLIENT_ID?: string;
  ACCESS_CLIENT_SECRET?: string;
  ALERT_WEBHOOK?: string;
  ALERT_MAIL?: SendEmail;
  ALERT_MAIL_FROM?: string;
  ALERT_MAIL_TO?: string;
  WATCHDOG_MINUTES?: string;
  RECIPIENTS_MAX_AGE_S?: string;
  POISON_LIMIT?: string;
  SUBREQUESTS?: string;
  WORKER_VERSION?: string;
}

/** How long things may take, in milliseconds (wire.md, "Deadlines"). Tests hand in small ones. */
export interface Deadlines {
  /** Live: the POST is aborted this long after the handler started. */
  readonly postMs: number;
  /** Live: everything, KV and R2 included, is done this long after the handler started. */
  readonly doneMs: number;
  /** Of the live time, this much may go to looking the recipient up. */
  readonly recipientsMs: number;
  /** A drain's POST of one message. */
  readonly drainMs: number;
  /** A tick begins no further message this long after it started: the next tick is a minute away. */
  readonly tickMs: number;
  readonly healthMs: number;
  readonly alertMs: number;
}

export const DEADLINES: Deadlines = {
  postMs: 20_000,
  doneMs: 28_000,
  recipientsMs: 3_000,
  drainMs: 180_000,
  tickMs: 50_000,
  healthMs: 10_000,
  alertMs: 10_000,
};

/** What one invocation of the Worker works with. */
export interface Edge {
  readonly env: Env;
  readonly deadlines: Deadlines;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Only for what may be lost: statistics. Never for mail (wire.md). */
  readonly waitUntil: (promise: Promise<unknown>) => void;
}

/** Where the mail API is, and how it knows us. */
export interface Origin {
  /** Scheme, host and port, nothing behind them. */
  readonly url: string;
  readonly key: Key;
  /** Cloudflare Access's service token, when one is configured. */
  readonly headers: Readonly<Record<string, string>>;
}

export class NotConfigured extends Error {
  override readonly name = "NotConfigured";
}

/** Return the origin, or throw NotConfigured with a text that names the setting and never its value. */
export function originOf(env: Env): Origin {
  const keyId = env.MAIL_API_KEY_ID ?? "";
  if (!/^[a-z0-9-]{1,32}$/.test(keyId)) throw new NotConfigured("MAIL_API_KEY_ID is not 1 to 32 of a-z, 0-9 and -");
  const secret = fromHex(env.MAIL_API_KEY ?? "");
  if (secret?.length !== 32) throw new NotConfigured("MAIL_API_KEY is not 64 hex digits");
  const { ACCESS_CLIENT_ID: id, ACCESS_CLIENT_SECRET: access } = env;
  if (!id !== !access) throw new NotConfigured("ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET go together");
  return {
    url: usableUrl(env.MAIL_API_URL ?? ""),
    key: { id: keyId, secret },
    headers: id && access ? { "CF-Access-Client-Id": id, "CF-Access-Client-Secret": access } : {},
  };
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

function usableUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new NotConfigured("MAIL_API_URL is not a URL");
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && LOOPBACK.has(url.hostname)))
    throw new NotConfigured("MAIL_API_URL is not https");
  if (url.pathname !== "/" || url.search || url.hash || url.username || url.password)
    throw new NotConfigured("MAIL_API_URL has more than scheme, host and port");
  return url.origin;
}

/** The default of each setting that is a number, and the least it may be. */
const NUMBERS = {
  WATCHDOG_MINUTES: { usual: 5, least: 1 },
  RECIPIENTS_MAX_AGE_S: { usual: 86_400, least: 1 },
  POISON_LIMIT: { usual: 10, least: 1 },
  // what the free plan allows one invocation (Workers docs, "Limits", checked 2026-11); with fewer than 30 no tick
  // could hold a poisonous message
  SUBREQUESTS: { usual: 50, least: 30 },
} as const;

/** Return a setting that is a whole number, or its default when it is none or too small. */
export function numberOf(env: Env, name: keyof typeof NUMBERS): number {
  const { usual, least } = NUMBERS[name];
  const text = env[name] ?? "";
  if (text === "") return usual;
  if (/^[1-9][0-9]{0,8}$/.test(text) && Number(text) >= least) return Number(text);
  log.error("setting_ignored", { setting: name, least, default: usual });
  return usual;
}
