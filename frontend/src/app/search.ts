/** What stands in an address was typed by anybody: each value is what it may be, or nothing. */

const MAX_CHARACTERS = 200;

export function textOf(value: unknown, limit = MAX_CHARACTERS): string | undefined {
  const text = typeof value === "number" ? String(value) : value;
  return typeof text === "string" && text !== "" ? text.slice(0, limit) : undefined;
}

export function oneOf<T extends string>(values: readonly T[], value: unknown): T | undefined {
  return values.find((each) => each === value);
}
