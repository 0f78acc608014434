/** Commands that are ready to be pasted into a shell (ux.md rule 7). */

const SAFE = /^[\w@%+=:,./-]+$/;

/** One word for a shell, whatever it holds. */
export const quoted = (word: string): string => (SAFE.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
