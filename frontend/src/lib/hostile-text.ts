/**
 * Control and bidirectional characters of text from outside, made visible (security.md 3.13): C0 and C1 controls,
 * direction marks, overrides and isolates, zero-width spaces (joiners are part of scripts and emoji). Line breaks and tabs stay where `keep` names them.
 */

// oxlint-disable-next-line no-control-regex -- they are what is looked for
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

export function visible(text: string, keep = ""): string {
  return text.replace(INVISIBLE, (character) => {
    if (keep.includes(character)) return character;
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code); // the pictures of the controls
    return code === 0x7f ? "\u2421" : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}
