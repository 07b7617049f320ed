"""JSON and lines of JSON as the harness takes them: strict, bounded, refused with one message.

Python's `json` takes more than JSON (`NaN`, a key twice, half a surrogate pair, `1e999` as infinity) and
gives way under what a hostile file holds (nesting, digits). What passes here can be stored and read
anywhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias, cast

from harness.errors import DataError
from harness.text import check_text

if TYPE_CHECKING:
    from os import PathLike

    from harness.types import Json

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 100
MAX_LINE: Final = 8 * 2**20
"""Bytes of a line, its end included."""

AnyPath: TypeAlias = "str | PathLike[str]"

_MAX_FLOAT_LENGTH: Final = 1000
_BOM: Final = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS: Final = re.compile(r'\\.|["\[\]{}]', re.DOTALL)


def loads(data: bytes | str, where: str) -> Json:
    """The value of one JSON text. Raises `DataError`, whose message starts with `where`, on all else.

    Refused beside broken syntax: NaN and infinities, numbers that overflow, integers of more than 100 digits,
    more than 64 levels, a key twice in one object, lone surrogates, bytes that are not UTF-8, and anything
    after the value.
    """
    text = _decoded(data, where)
    try:
        _check_depth(text)
        value = cast("Json", _DECODER.decode(text))
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text else ""
        raise DataError(f"{where}: this is not JSON: {error.msg} ({line}column {error.colno})") from None
    except _RefusedError as error:
        raise DataError(f"{where}: {error}") from None
    if _SURROGATE_ESCAPE.search(text):  # pairs were joined by the decoder, so only lone ones are left
        check(value, where)
    return value


def dumps(value: Json) -> str:
    """The one JSON text of a value: keys sorted, no spaces, characters as they are, floats by `repr`.

    Raises `ValueError` on NaN and infinities, `TypeError` on what is no JSON value.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)


def check(value: object, where: str, depth: int = 0) -> Json:
    """`value`, which came as Python objects, if strict JSON can hold it; else `DataError` with its path."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(value, where)
    if isinstance(value, int | float):
        return _checked_number(value, where)
    if depth == MAX_DEPTH:
        raise DataError(f"{where}: nested deeper than {MAX_DEPTH} levels; flatten it")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DataError(f"{where}: expected a text as key, not {shown(key)}")
            check(item, f"{where}.{step(check_text(key, where))}", depth + 1)
        return value
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check(item, f"{where}[{index}]", depth + 1)
        return value
    raise DataError(f"{where}: a {type(value).__name__} is no JSON value; give text, a number, a list or an object")


def read_lines(path: AnyPath, cap: int = MAX_LINE) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, each with its number from 1, without end or byte order mark.

    Raises `DataError` where the file cannot be read, and at a line longer than `cap` bytes, reading no more
    of it.
    """
    for number, line in raw_lines(path, cap):
        if stripped := line.rstrip(b" \t\r\n"):
            yield number, stripped


def raw_lines(path: AnyPath, cap: int = MAX_LINE) -> Iterator[tuple[int, bytes]]:
    """As `read_lines`, but blank lines and line ends stay."""
    try:
        with open(path, "rb") as file:
            for number in count(1):
                line = file.readline(cap + 1)
                if not line:
                    return
                if len(line) > cap:
                    raise DataError(f"{path}, line {number}: longer than {cap:,} bytes; put each record on a line")
                yield number, line.removeprefix(_BOM) if number == 1 else line
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def json_lines(path: AnyPath) -> Iterator[tuple[int, Json]]:
    """The values of a file that holds one JSON value per line, each with the number of its line."""
    for number, line in read_lines(path):
        yield number, loads(line, f"{path}, line {number}")


def unreadable(path: AnyPath, error: Exception) -> DataError:
    """What to tell of a file that the system would not open or read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return DataError(f"{path}: there is no such file")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path}: this is a folder; name a file in it")
    if isinstance(error, PermissionError):
        return DataError(f"{path}: may not be read; check its permissions")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"{str(path)!r}: cannot be read: {reason}")


def shown(value: object) -> str:
    """A value as an error message names it: short, and without anything that moves a terminal's cursor."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {clip(value)!r}"
    if isinstance(value, int | float):
        return f"the number {clip(_digits(value))}"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence):
        return "a list"
    return f"a {type(value).__name__}"


def step(key: str) -> str:
    """A key as a step of the path in an error message."""
    return clip(key) if key.isprintable() else repr(clip(key))


def clip(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


class _RefusedError(ValueError):
    """What a hook of the decoder refuses; `loads` adds where."""


def _decoded(data: bytes | str, where: str) -> str:
    if isinstance(data, str):
        return check_text(data, where)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise DataError(
            f"{where}: byte {error.start + 1} (0x{byte:02x}) is not UTF-8; save the file as UTF-8"
        ) from None


def _check_depth(text: str) -> None:
    """Before the decoder, which recurses. Up to the first error in `text` both see the same brackets."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth, in_text = 0, False
    for match in _MARKS.finditer(text):
        mark = match[0]
        if mark == '"':
            in_text = not in_text
        elif in_text or mark[0] == "\\":
            continue
        elif mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _RefusedError(f"nested deeper than {MAX_DEPTH} levels (column {match.start() + 1}); flatten it")
        else:
            depth -= 1


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            break
        seen.add(key)
    raise _RefusedError(f"the key {clip(key)!r} stands twice in one object; keep one")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise _RefusedError(f"the integer {clip(digits, 20)} has {len(digits):,} digits; write it as text")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > _MAX_FLOAT_LENGTH:
        raise _RefusedError(f"the number {clip(digits, 20)} has {len(digits):,} characters; write it shorter")
    value = float(digits)
    if not math.isfinite(value):
        raise _RefusedError(f"the number {clip(digits, 20)} is too large for a 64-bit float")
    return value


def _constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name} is no JSON number; write null where there is no value")


def _checked_number(value: int | float, where: str) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{where}: {value!r} is no finite number; write null where there is no value")
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise DataError(f"{where}: an integer of more than {MAX_DIGITS} digits; write it as text")
    return value


def _digits(value: int | float) -> str:
    """`repr`, which itself refuses integers of more than 4,300 digits."""
    return repr(value) if isinstance(value, float) or abs(value) < 10**MAX_DIGITS else "of over 100 digits"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
