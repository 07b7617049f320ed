"""The border for text: everything inside is text that UTF-8 can store.

A Python string may hold *surrogates*, halves of a UTF-16 pair that are no characters and that no file, HTML
page or tokenizer takes. What a provider sent is mended (it cannot be asked again), what a user wrote is
refused.
"""

from __future__ import annotations

from harness.errors import DataError


def clean_text(text: str) -> str:
    """`text` as UTF-8 can store it: a lone surrogate becomes U+FFFD, a pair of them its character.

    All else stays as it is, control characters included. For what providers give; idempotent.
    """
    if _storable(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def check_text(text: str, where: str) -> str:
    """`text` itself, for what users give. Raises `DataError` at a surrogate; `where` starts the message."""
    if _storable(text):
        return text
    index, mark = next((i, c) for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
    raise DataError(
        f"{where}: character {index + 1} is a lone surrogate (U+{ord(mark):04X}), half of a character that"
        " UTF-8 cannot store; remove it, or write the text anew as UTF-8"
    )


def _storable(text: str) -> bool:
    if text.isascii():  # a flag of the string, so this costs nothing for most texts
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
