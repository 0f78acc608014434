/**
 * One JSON line for each event: a constant name, data in keys. Never a subject, a body, a local part or a secret; a
 * message is named by its id, which stands in the mail API's trace too.
 */

type Fields = Readonly<Record<string, string | number | boolean | null>>;

function line(level: string, event: string, fields: Fields): string {
  return JSON.stringify({ level, event, ...fields });
}

export const log = {
  info: (event: string, fields: Fields = {}) => console.log(line("info", event, fields)),
  warning: (event: string, fields: Fields = {}) => console.warn(line("warning", event, fields)),
  error: (event: string, fields: Fields = {}) => console.error(line("error", event, fields)),
};

/** What an exception says, short enough for a line of the log. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.slice(0, 200);
}
