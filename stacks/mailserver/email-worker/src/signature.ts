/** The canonical string and its signature, both directions (wire.md, "Request"). */

import { fromHex, toHex, utf8 } from "./encoding";

export const WINDOW_S = 300;

export interface Key {
  readonly id: string;
  readonly secret: Uint8Array<ArrayBuffer>;
}

/** The signed values of a message, as they are sent; an absent one is the empty string. */
export interface Announced {
  readonly messageId: string;
  readonly mailFrom: string;
  readonly rcptTo: string;
  readonly contentLength: string;
  readonly contentSha256: string;
  readonly retainedAt: string;
}

const NOTHING: Announced = {
  messageId: "",
  mailFrom: "",
  rcptTo: "",
  contentLength: "",
  contentSha256: "",
  retainedAt: "",
};

export function canonicalString(
  keyId: string,
  timestamp: string,
  method: string,
  path: string,
  message: Announced = NOTHING,
): string {
  const { messageId, mailFrom, rcptTo, contentLength, contentSha256, retainedAt } = message;
  const head = ["v1", keyId, timestamp, messageId, method, path];
  return [...head, mailFrom, rcptTo, contentLength, contentSha256, retainedAt].join("\n");
}

export async function sign(key: Key, canonical: string): Promise<string> {
  return `v1=${toHex(await crypto.subtle.sign("HMAC", await hmacKey(key), utf8(canonical)))}`;
}

/** Return the header fields of a request, and those of its message if it has one. `nowS`: seconds since the epoch. */
export async function signedHeaders(
  key: Key,
  nowS: number,
  method: string,
  path: string,
  message?: Announced,
): Promise<Headers> {
  const timestamp = String(Math.floor(nowS));
  const headers = new Headers({ "Homeport-Key-Id": key.id, "Homeport-Timestamp": timestamp });
  if (message) {
    headers.set("Homeport-Message-Id", message.messageId);
    headers.set("Homeport-Mail-From", message.mailFrom);
    headers.set("Homeport-Rcpt-To", message.rcptTo);
    headers.set("Homeport-Content-Length", message.contentLength);
    headers.set("Homeport-Content-SHA256", message.contentSha256);
    if (message.retainedAt) headers.set("Homeport-Retained-At", message.retainedAt);
  }
  headers.set("Homeport-Signature", await sign(key, canonicalString(key.id, timestamp, method, path, message)));
  return headers;
}

/** Whether a request without a body is signed by `key`, for its own method and path, within the window. */
export async function isSigned(request: Request, key: Key, nowS: number): Promise<boolean> {
  const timestamp = request.headers.get("Homeport-Timestamp") ?? "";
  const claimed = /^v1=([0-9a-f]{64})$/.exec(request.headers.get("Homeport-Signature") ?? "");
  const signature = claimed?.[1] ? fromHex(claimed[1]) : null;
  if (!signature || !/^(0|[1-9][0-9]{0,11})$/.test(timestamp)) return false;
  const canonical = canonicalString(key.id, timestamp, request.method, new URL(request.url).pathname);
  // the other key id's signature fails here too: the id is part of what is signed. `verify` compares in constant time
  const holds = await crypto.subtle.verify("HMAC", await hmacKey(key), signature, utf8(canonical));
  const isNamed = request.headers.get("Homeport-Key-Id") === key.id;
  return holds && isNamed && Math.abs(nowS - Number(timestamp)) <= WINDOW_S;
}

function hmacKey(key: Key): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", key.secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}
