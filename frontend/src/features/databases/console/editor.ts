/**
 * The SQL editor: CodeMirror in a shadow root. There its styles are adopted sheets, which the content security policy
 * allows, while it would need a style element in the page itself. Colours come in as the page's custom properties.
 */

import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completeFromList, completionKeymap, type Completion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { MariaSQL, schemaCompletionSource } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, LanguageSupport, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, Prec, StateEffect, StateField, type Extension, type Transaction } from "@codemirror/state";
import { Decoration, drawSelection, EditorView, keymap, lineNumbers, placeholder, type DecorationSet } from "@codemirror/view";
import { tags } from "@lezer/highlight";

import type { CompletionWords } from "./requests";

export interface Editor {
  set: (text: string) => void;
  offer: (words: CompletionWords | undefined) => void;
  mark: (position: number | null) => void; // where a statement was refused or failed
  goTo: (position: number) => void;
  describe: (texts: EditorTexts) => void;
  destroy: () => void;
}

export interface EditorTexts {
  label: string;
  placeholder: string;
  completions: string;
}

const markAt = StateEffect.define<number | null>();
const MARK = Decoration.mark({ class: "cm-fault" });

const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (found, { docChanged, effects, newDoc, state }) => {
    const effect = effects.find((each) => each.is(markAt));
    if (!effect) return docChanged ? Decoration.none : found;
    if (effect.value === null || newDoc.length === 0) return Decoration.none;
    const from = Math.min(effect.value, newDoc.length - 1);
    const word = state.wordAt(from);
    return Decoration.set(MARK.range(from, Math.max(word?.to ?? 0, from + 1)));
  },
  provide: (field) => EditorView.decorations.from(field),
});

const THEME = EditorView.theme({
  "&": { color: "var(--color-ink)", backgroundColor: "var(--color-panel)", fontSize: "0.8125rem" },
  "&.cm-focused": { outline: "2px solid var(--color-accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.5", minHeight: "8rem", maxHeight: "45dvh", overflow: "auto" },
  ".cm-content": { caretColor: "var(--color-ink)", padding: "0.5rem 0" },
  ".cm-cursor": { borderLeftColor: "var(--color-ink)" },
  ".cm-gutters": { color: "var(--color-muted)", backgroundColor: "var(--color-sunken)", borderRight: "1px solid var(--color-line)" },
  ".cm-placeholder": { color: "var(--color-muted)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in oklab, var(--color-accent) 28%, transparent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "color-mix(in oklab, var(--color-accent) 20%, transparent)", outline: "1px solid var(--color-edge)" },
  ".cm-fault": { textDecoration: "underline wavy var(--color-bad)", textUnderlineOffset: "3px" },
  ".cm-tooltip": { color: "var(--color-ink)", backgroundColor: "var(--color-panel)", border: "1px solid var(--color-edge)", borderRadius: "0.25rem" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--font-mono)", fontSize: "0.8125rem", maxHeight: "16rem" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { color: "var(--color-on-accent)", backgroundColor: "var(--color-accent)" },
  ".cm-completionDetail": { color: "inherit", fontStyle: "normal", opacity: "0.8" },
});

const COLOURS = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: "var(--color-accent)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--color-good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--color-warn)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--color-muted)" },
  { tag: [tags.typeName, tags.standard(tags.name)], color: "var(--color-accent)" },
  { tag: tags.invalid, color: "var(--color-bad)" },
]);

/** onChange: with each change of the text by whoever types; onRun: Ctrl-Enter, or Command-Enter. */
export function openEditor(host: HTMLElement, { text, texts, onChange, onRun }: { text: string; texts: EditorTexts; onChange: (text: string) => void; onRun: () => void }): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const [language, words] = [new Compartment(), new Compartment()];
  let isOurs = false; // a change that comes from outside is known there
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => (onRun(), true) }, { key: "Tab", run: acceptCompletion }])), // else Tab goes on to the next field
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
        [lineNumbers(), history(), drawSelection(), bracketMatching(), closeBrackets(), autocompletion({ icons: false }), EditorView.lineWrapping],
        [THEME, syntaxHighlighting(COLOURS), marks, words.of(offered(undefined)), language.of(described(texts))],
        EditorView.domEventHandlers({ beforeinput: replaceSelected }),
        EditorView.updateListener.of(({ docChanged, state }) => {
          if (docChanged && !isOurs) onChange(state.doc.toString());
        }),
      ],
    }),
  });
  const stop = (event: KeyboardEvent): void => {
    // To the page the host is no text field: what is typed here must not be taken for its shortcuts.
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  };
  host.addEventListener("keydown", stop);
  return {
    set: (next) => {
      if (next === view.state.doc.toString()) return;
      isOurs = true;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next }, selection: { anchor: next.length } });
      isOurs = false;
    },
    offer: (found) => view.dispatch({ effects: words.reconfigure(offered(found)) }),
    mark: (position) => view.dispatch({ effects: markAt.of(position) }),
    goTo: (position) => {
      view.dispatch({ selection: { anchor: Math.min(position, view.state.doc.length) }, scrollIntoView: true });
      view.focus();
    },
    describe: (next) => view.dispatch({ effects: language.reconfigure(described(next)) }),
    destroy: () => {
      host.removeEventListener("keydown", stop);
      view.destroy();
    },
  };
}

/**
 * What is typed over a selection. The browser would carry the look of the old text into the new one by an inline style,
 * which the content security policy refuses, and says so each time.
 */
function replaceSelected({ inputType, data, isComposing }: InputEvent, view: EditorView): boolean {
  const { from, to, empty } = view.state.selection.main;
  if (isComposing || inputType !== "insertText" || data === null || empty) return false;
  const replaced = (): Transaction => view.state.update(view.state.replaceSelection(data), { userEvent: "input.type", scrollIntoView: true });
  if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, data, replaced))) view.dispatch(replaced());
  return true; // which keeps the browser from doing it
}

function described({ label, placeholder: hint, completions }: EditorTexts): Extension {
  return [EditorView.contentAttributes.of({ "aria-label": label }), placeholder(hint), EditorState.phrases.of({ Completions: completions })];
}

/** What completion offers: tables and columns of the database, and the words that the console knows. */
function offered(words: CompletionWords | undefined): Extension {
  const { tables = [], keywords = [], functions = [] } = words ?? {};
  const schema = Object.fromEntries(tables.map(({ name, columns }) => [name, columns]));
  const list: Completion[] = [
    ...keywords.map((label): Completion => ({ label, type: "keyword", boost: -1 })),
    ...functions.map((label): Completion => ({ label, type: "function", apply: `${label}(`, boost: -2 })),
  ];
  return new LanguageSupport(MariaSQL.language, [
    MariaSQL.language.data.of({ autocomplete: schemaCompletionSource({ dialect: MariaSQL, schema }) }),
    MariaSQL.language.data.of({ autocomplete: completeFromList(list) }),
  ]);
}
