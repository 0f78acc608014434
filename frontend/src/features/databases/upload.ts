/**
 * A file, sent to the portal piece by piece: each is a request of its own, so that a broken connection costs one piece
 * and not the whole. What the portal has already (`received`) is not sent again.
 */

import { isProblem } from "@/lib/problem";

import { beginUpload, removeUpload, sendPiece, type UploadView } from "./requests";

const PIECE_BYTES = 3 * 1024 ** 2; // the portal takes 4 MiB
const TRIES = 4;
const PAUSE_MS = 1_500;

/** Send it whole; return the upload's id. An abort, or a failure that stays, removes what was sent. */
export async function upload(file: File, signal: AbortSignal, onProgress: (received: number) => void): Promise<string> {
  const begun = await beginUpload(file.name.replaceAll(/[\u0000-\u001f/\\]/g, "_").slice(-200), file.size); // oxlint-disable-line no-control-regex -- they are what is replaced
  try {
    let { received } = begun;
    while (received < file.size) {
      // oxlint-disable-next-line no-await-in-loop -- one after another, in their order
      ({ received } = await piece(begun, file, received, signal));
      onProgress(received);
    }
    return begun.id;
  } catch (error) {
    void removeUpload(begun.id).catch(() => undefined); // else it goes after a day
    throw error;
  }
}

async function piece({ id }: UploadView, file: File, offset: number, signal: AbortSignal): Promise<{ received: number }> {
  const data = await base64(file.slice(offset, offset + PIECE_BYTES));
  for (let tried = 1; ; tried += 1) {
    signal.throwIfAborted();
    try {
      // oxlint-disable-next-line no-await-in-loop -- tried again only after it has failed
      return await sendPiece(id, offset, data, signal);
    } catch (error) {
      if (isProblem(error, "upload-out-of-order") && typeof error.members["expected"] === "number") return { received: error.members["expected"] };
      if (!isProblem(error, "unreachable") || tried === TRIES) throw error;
      // oxlint-disable-next-line no-await-in-loop -- a pause, not work
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** Through a data: URL, which browsers make without a string a character at a time. */
function base64(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(typeof reader.result === "string" ? reader.result.slice(reader.result.indexOf(",") + 1) : ""));
    reader.addEventListener("error", () => reject(reader.error ?? new Error("the file cannot be read")));
    reader.readAsDataURL(blob);
  });
}
