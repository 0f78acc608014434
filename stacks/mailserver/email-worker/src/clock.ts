/** Waiting with an end. */

export class TooLate extends Error {
  override readonly name = "TooLate";
}

/**
 * Return what `promise` gives, or throw TooLate after `ms` milliseconds. For calls that cannot be aborted (R2, KV):
 * the late result is dropped, its failure too.
 */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TooLate(`${what} took longer than ${ms} ms`)), Math.max(ms, 0));
  });
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
