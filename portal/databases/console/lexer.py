"""MariaDB's lexical rules, as far as a guard needs them: pure, and the one authority on what is a literal or a comment.

    lexed = read("SELECT 'a;b' -- c")         # raises Refused for what two readers could read differently
    lexed.tokens                              # words, quoted names, strings, symbols, each with its place
    lexed.text                                # the same without comments, every character at its old place
    lexed.masked                              # plain ASCII, strings blanked: for a parser that reads them otherwise

The session's sql_mode has neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES, and its character set is utf8mb4: servers.py
sets both. What differs between this and a parser's view is an attack, so whatever is unclear is refused: a version
comment, `--` without a space behind it, invisible characters, a backslash or an odd bracket outside of strings.

Source: MariaDB, sql/sql_lex.cc (`Lex_input_stream`); "Comment Syntax", "Identifier Names" in its reference.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

MAX_TOKENS = 10_000  # 2 s of the parser's time
MAX_DEPTH = 16  # of parentheses: the parser behind takes two dozen stack frames for each

TokenKind = Literal["word", "name", "string", "number", "symbol", "system"]
_SPACE = " \t\n\r\v\f"
_SYMBOLS = frozenset("()+-*/%=<>!~^&|,.;:?")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$")
_PLAIN = _WORD | frozenset(" .,:%/-")  # what a string may hold that no parser reads otherwise
_NUMBER = re.compile(r"[0-9]+(?:[eE][0-9]*)?|0[xX][0-9a-fA-F]+|0[bB][01]+")
_VERSIONED = ("/*!", "/*M!", "/*m!")


class Refused(Exception):
    """
    rule       stable, one word or two: what is not allowed
    position   where, in characters from 0
    why        a sentence for whoever typed it
    """

    def __init__(self, rule: str, position: int, why: str) -> None:
        super().__init__(f"{rule} at {position}: {why}")
        self.rule, self.position, self.why = rule, position, why


@dataclass(frozen=True, slots=True)
class Token:
    """
    kind    word: unquoted; name: in grave accents, `value` without them; system: @@name
    value   as the server reads it; of a string, what stands between its quotes
    """

    kind: TokenKind
    value: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """An unquoted word or a symbol in capitals, "" for everything else: no keyword is ever quoted."""
        return self.value.upper() if self.kind in ("word", "symbol") and self.value.isascii() else ""


@dataclass(frozen=True, slots=True)
class Lexed:
    tokens: tuple[Token, ...]
    text: str
    masked: str


def read(statement: str) -> Lexed:
    """Raise Refused."""
    return _Reader(statement).read()


class _Reader:
    def __init__(self, statement: str) -> None:
        self._s = statement
        self._at = 0
        self._depth = 0
        self._tokens: list[Token] = []
        self._text = list(statement)
        self._masked = list(statement)

    def read(self) -> Lexed:
        s = self._s
        if (at := s.find("\0")) >= 0:
            raise Refused("control-character", at, "A statement holds no NUL character.")
        while self._at < len(s):
            if len(self._tokens) > MAX_TOKENS:
                raise Refused("too-long", self._at, f"A statement has at most {MAX_TOKENS} words and symbols.")
            self._one(s[self._at])
        if self._depth:
            raise Refused("unbalanced", len(s), "A parenthesis is not closed.")
        return Lexed(tuple(self._tokens), "".join(self._text), "".join(self._masked))

    def _one(self, character: str) -> None:
        s, at = self._s, self._at
        if character in _SPACE:
            self._blank(at + 1)
        elif s.startswith(_VERSIONED, at):
            raise Refused("version-comment", at, "A comment that the server runs (/*! or /*M!) is not allowed.")
        elif s.startswith("/*+", at):
            raise Refused("hint-comment", at, "An optimizer hint (/*+) is not allowed.")
        elif s.startswith("/*", at):
            if (end := s.find("*/", at + 2)) < 0:
                raise Refused("unterminated", at, "The comment is not closed.")
            self._blank(end + 2)
        elif s.startswith("--", at):
            if at + 2 < len(s) and s[at + 2] not in _SPACE:
                raise Refused("ambiguous-comment", at, 'Two minus signs begin a comment: write "- -" or "-- ".')
            self._blank(self._line_end())
        elif character == "#":
            self._blank(self._line_end())
        elif character in "'\"":
            self._string(character)
        elif character == "`":
            self._name()
        elif character in _WORD or not character.isascii():
            self._word()
        elif character == "@":
            self._variable()
        elif character in _SYMBOLS:
            self._symbol(character)
        elif character.isprintable():
            raise Refused("odd-character", at, f"{character!r} has no place outside of quotes.")
        else:
            raise Refused("control-character", at, "A control character stands outside of quotes.")

    def _blank(self, end: int) -> None:
        """Replace what stands until `end` by spaces; line ends stay, so that the server counts lines as we do."""
        for at in range(self._at, end):
            if self._s[at] != "\n":
                self._text[at] = self._masked[at] = " "
        self._at = end

    def _line_end(self) -> int:
        end = self._s.find("\n", self._at)
        return len(self._s) if end < 0 else end

    def _string(self, quote: str) -> None:
        s, start = self._s, self._at
        at = start + 1
        while at < len(s):
            if s[at] == "\\" or s.startswith(quote * 2, at):
                at += 2
            elif s[at] == quote:
                break
            else:
                at += 1
        if at >= len(s):
            raise Refused("unterminated", start, "The string is not closed.")
        inside = s[start + 1 : at]
        if not _PLAIN.issuperset(inside):
            self._masked[start + 1 : at] = "0" * len(inside)  # digits: also inside x'' and b'' they are well-formed
        self._masked[start] = self._masked[at] = "'"
        self._add("string", inside, at + 1)

    def _name(self) -> None:
        s, start = self._s, self._at
        at = start + 1
        while (at := s.find("`", at)) >= 0 and s.startswith("`", at + 1):
            at += 2
        if at < 0:
            raise Refused("unterminated", start, "The quoted name is not closed.")
        inside = s[start + 1 : at]
        if not inside:
            raise Refused("empty-name", start, "A quoted name is empty.")
        if not _PLAIN.issuperset(inside):
            self._masked[start + 1 : at] = "z" * len(inside)
        self._add("name", inside.replace("``", "`"), at + 1)

    def _word(self) -> None:
        s, start = self._s, self._at
        at = start
        while at < len(s) and (s[at] in _WORD or not s[at].isascii()):
            if not s[at].isascii():
                if unicodedata.category(s[at])[0] not in "LMN":
                    raise Refused("odd-character", at, "An invisible or odd character stands outside of quotes.")
                self._masked[at] = "z"  # no parser takes a long s for an S
            at += 1
        value = s[start:at]
        self._add("number" if _NUMBER.fullmatch(value) else "word", value, at)

    def _variable(self) -> None:
        s, start = self._s, self._at
        if not s.startswith("@@", start):
            raise Refused("user-variable", start, "A user variable (@name) has no place in a single statement.")
        at = start + 2
        while at < len(s) and s[at] in _WORD | {"."}:
            at += 1
        self._add("system", s[start:at], at)

    def _symbol(self, character: str) -> None:
        if self._s.startswith(":=", self._at):
            raise Refused("assignment", self._at, "An assignment (:=) is not allowed.")
        self._depth += {"(": 1, ")": -1}.get(character, 0)
        if self._depth < 0:
            raise Refused("unbalanced", self._at, "A parenthesis is closed that was not opened.")
        if self._depth > MAX_DEPTH:
            raise Refused("too-deep", self._at, f"Parentheses are nested more than {MAX_DEPTH} deep.")
        self._add("symbol", character, self._at + 1)

    def _add(self, kind: TokenKind, value: str, end: int) -> None:
        self._tokens.append(Token(kind, value, self._at, end))
        self._at = end
