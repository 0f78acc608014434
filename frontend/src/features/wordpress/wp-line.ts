/** A line of wp, taken apart: the subcommand, what it is done to, and its options. No shell reads it. */

export interface WpWords {
  command: string[];
  arguments: string[];
  options: Record<string, string>;
}

const WORD = /"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g;
const ONE_WORD: ReadonlySet<string> = new Set(["search-replace"]);
const THREE_WORDS: ReadonlySet<string> = new Set(["cron event", "language core", "language plugin"]);

export function wpWords(line: string): WpWords {
  const words = [...line.trim().replace(/^wp\s+/, "").matchAll(WORD)].map(([, double, single, bare]) => double?.replace(/\\(.)/g, "$1") ?? single ?? bare ?? "");
  const options: Record<string, string> = {};
  const plain: string[] = [];
  for (const word of words) {
    if (!word.startsWith("--")) plain.push(word);
    else {
      const [name = "", ...value] = word.slice(2).split("=");
      options[name] = value.join("=");
    }
  }
  const count = ONE_WORD.has(plain[0] ?? "") ? 1 : THREE_WORDS.has(plain.slice(0, 2).join(" ")) ? 3 : 2;
  return { command: plain.slice(0, count), arguments: plain.slice(count), options };
}
