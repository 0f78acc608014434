/**
 * Does the recipient exist? Asked only when the mail API could not be (wire.md, "Recipients").
 *
 * KV holds one list of hashes for each domain. The answer "no" comes only from a list that is complete, fresh and
 * without a catch-all; whatever is missing, old, unreadable or slow says nothing, and the message is retained.
 */

import { within } from "./clock";
import { fromHex, toHex, utf8 } from "./encoding";
import { type Edge, numberOf } from "./environment";
import { log, reasonOf } from "./log";

const HASH = /^[0-9a-f]{64}$/;
const CLOCK_ERROR_S = 300; // a list may be this much from the future

interface List {
  readonly at: number;
  readonly delimiter: string;
  readonly hashes: readonly string[];
}

/** Whether a fresh and complete list says that `address` does not exist. Never throws. */
export async function isUnlisted(address: string, edge: Edge, deadlineMs: number): Promise<boolean> {
  const { RECIPIENTS: lists, RECIPIENTS_KEY: keyText } = edge.env;
  const key = fromHex(keyText ?? "");
  const domain = domainOf(address);
  if (!lists || key?.length !== 32 || domain === null || deadlineMs <= 0) return false;
  try {
    const text = await within(deadlineMs, "looking the recipient up", lists.get(`recipients/${domain}`, "text"));
    const list = readList(text);
    if (!list) return false;
    const ageS = edge.now() / 1000 - list.at;
    if (ageS > numberOf(edge.env, "RECIPIENTS_MAX_AGE_S") || ageS < -CLOCK_ERROR_S) {
      log.warning("recipients_not_fresh", { domain, age_s: Math.round(ageS) });
      return false;
    }
    const hash = await hashOf(address, list.delimiter, key);
    return hash !== null && !list.hashes.includes(hash);
  } catch (error) {
    log.warning("recipients_unreadable", { domain, error: reasonOf(error) });
    return false;
  }
}

/** Return a list that may say no, or null. */
function readList(text: string | null): List | null {
  if (text === null) return null;
  const list = JSON.parse(text) as Record<string, unknown>;
  const { v, at, complete, catch_all: catchAll, delimiter, hashes } = list;
  if (v !== 1 || complete !== true || catchAll !== false) return null;
  if (typeof at !== "number" || typeof delimiter !== "string" || delimiter.length > 1) return null;
  if (!Array.isArray(hashes) || !hashes.every((hash) => typeof hash === "string" && HASH.test(hash))) return null;
  return { at, delimiter, hashes: hashes as string[] };
}

/** Return the hash under which an address stands in a list, or null when no list can speak of it. */
export async function hashOf(address: string, delimiter: string, key: Uint8Array<ArrayBuffer>): Promise<string | null> {
  const normal = normalAddress(address, delimiter);
  if (normal === null) return null;
  const hmac = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return toHex(await crypto.subtle.sign("HMAC", hmac, utf8(normal)));
}

/**
 * Return the form in which addresses are compared: domain as A-label, lower case, NFC, the local part cut at the first
 * delimiter behind its first character. Null for a quoted local part, which may hold a delimiter or an `@`.
 */
export function normalAddress(address: string, delimiter: string): string | null {
  const domain = domainOf(address);
  const local = address.slice(0, address.lastIndexOf("@")).toLowerCase().normalize("NFC");
  if (domain === null || local === "" || local.includes('"')) return null;
  const cut = delimiter === "" ? -1 : local.indexOf(delimiter, 1);
  return `${cut === -1 ? local : local.slice(0, cut)}@${domain}`;
}

/** Return an address's domain as lower-case A-labels, or null when it has none that could be a name. */
function domainOf(address: string): string | null {
  const text = address.slice(address.lastIndexOf("@") + 1);
  if (!address.includes("@") || /[\s/\\?#%:@[\]]/.test(text)) return null;
  let host: string;
  try {
    host = new URL(`http://${text}`).hostname; // the URL standard's host is UTS 46, as the Python side's
  } catch {
    return null;
  }
  const isName = host.length <= 253 && host.split(".").every((label) => label.length >= 1 && label.length <= 63);
  return isName && !/^[0-9.]+$/.test(host) ? host : null; // digits and dots: an IPv4 address
}
