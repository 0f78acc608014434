/** Bytes as text: hex, and base64url without padding (RFC 4648 section 5). */

const UTF8 = new TextEncoder();

export function toHex(bytes: ArrayBuffer | Uint8Array): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return the bytes, or null when the text is not pairs of hex digits. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return null;
  return Uint8Array.from({ length: text.length / 2 }, (_, at) => Number.parseInt(text.slice(2 * at, 2 * at + 2), 16));
}

export function utf8(text: string): Uint8Array {
  return UTF8.encode(text);
}

/** The form in which an envelope address travels (wire.md, "Request"). */
export function toBase64Url(text: string): string {
  const binary = Array.from(utf8(text), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function randomId(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)));
}
