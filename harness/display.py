"""Text from data, made fit for a terminal: everything that acts instead of showing becomes a visible escape.

Model texts, ids, names and reasons may hold terminal sequences, characters that reorder a line
(bidirectional controls), invisible characters, lone surrogates that no encoding can write, or lines that a
build server takes for commands (`::error ...`, `##vso[...]`). `visible` writes all of these as escapes such
as `\\x1b` and leaves every character that only shows as it is, in any script. Joiners stay, since Persian,
Indic scripts and emoji need them.
"""

from __future__ import annotations

import re
from typing import Final

_ACTING: Final = re.compile(
    "["
    r"\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: terminal sequences, line breaks
    r"\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # unseen, or turning
    r"\ud800-\udfff"  # lone surrogates
    r"\U000e0000-\U000e0fff"  # tags: invisible text
    "]"
)
_COMMAND: Final = re.compile(
    # At the start of a word any name may be a command; inside one, where a line may be broken, the known ones.
    r"(?<!\S)::(?=[A-Za-z])"
    r"|::(?=(?:error|warning|notice|debug|(?:end)?group|echo)[ :])"
    r"|::(?=(?:add|remove|save|set|stop)-[a-z]+[ :])"
    r"|##(?=\[|vso\[)"
)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}.get(code) or (f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}")


def _disarm(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0][0]):02x}{match[0][1:]}"


def escaped(text: str, *, multiline: bool = False) -> str:
    """`text` with every character that acts as a visible escape; with `multiline`, line feeds and tabs stay."""
    kept = "\n\t" if multiline else ""
    return _ACTING.sub(lambda match: match[0] if match[0] in kept else _escape(match), text)


def visible(text: str, *, multiline: bool = False) -> str:
    """`escaped` text in which a build server, too, finds no command: what to print on a terminal.

    The result may hold rich's markup, which `rich.markup.escape` does not always disarm (backslashes before a
    tag): show it as `rich.text.Text`, which has none.
    """
    return _COMMAND.sub(_disarm, escaped(text, multiline=multiline))
