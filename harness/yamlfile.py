"""YAML as data and nothing else: core-schema scalars, positions for every value, and limits on everything.

Text is read by PyYAML's safe loader up to its *events*; no YAML constructor is ever run, so no tag can make
an object. From the events a tree of `Node`s is composed here, with YAML 1.2 scalars (`no`, `on`, `yes` are
text, `012` is 12, `1e5` is a number) and without what surprises or attacks: duplicate keys, tags, merge keys,
keys that are no text, infinite or endless numbers, aliases that multiply, deep nesting, control characters.

Every error is a `SuiteError` whose lines read `FILE:LINE:COLUMN: message`, counted from 1.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from harness.errors import SuiteError
from harness.suite_nodes import (
    LIMIT_PROBLEMS,
    Document,
    Node,
    Place,
    Problem,
    Scalar,
    bare,
    shown,
    suite_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIMIT_BYTES: Final = 1 << 20
LIMIT_NODES: Final = 100_000
LIMIT_DEPTH: Final = 50
LIMIT_DIGITS: Final = 100
_LONG: Final = 100  # characters that count as a value more, for a long text multiplies by aliases too

# libyaml where PyYAML has it, as its wheels do: 20 times faster, so a hostile megabyte takes under a second
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_UNPRINTABLE: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL: Final = {w: w.lower() == "true" for w in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_CORE: Final = "tag:yaml.org,2002:"
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
}
_PLAIN_TAGS: Final = frozenset(f"{_CORE}{name}" for name in _TYPES)
_INDENT: Final = "look at the indentation of this line and the ones above"
_HINTS: Final = (
    ("cannot start any token", "a tab cannot indent, and text that starts with @, ` or % must be quoted"),
    ("mapping values are not allowed", "put text that holds ': ' in quotes"),
    ("expected <block end>", _INDENT),
    ("did not find expected '-' indicator", _INDENT),
    ("did not find expected key", "look at the indentation, quotes and brackets, also of the lines above"),
    ("could not find expected ':'", "a key needs ': ' after it; look also at the line above"),
)


def load(text: str, source: str) -> Document:
    """Parse `text`, which errors call `source`. Raises SuiteError with all mistakes found."""
    document, problems = scan(text, source)
    if problems:
        raise suite_error(source, problems)
    return document


def scan(text: str, source: str) -> tuple[Document, list[Problem]]:
    """As `load`, but mistakes that leave the rest readable are returned, to be reported with others.

    Raises SuiteError where the text cannot be read on.
    """
    root, problems = compose(text)
    if root is None:
        raise suite_error(source, problems)
    return Document(source, root), problems


def compose(text: str) -> tuple[Node | None, list[Problem]]:
    """The tree of `text` and its mistakes; no tree where the text cannot be read on after the last of them."""
    text = text.removeprefix("\ufeff")
    if (bad := _text_problem(text)) is not None:
        return None, [bad]
    composer = _Composer(text)
    try:
        return composer.document(), composer.problems
    except _UnreadableError as error:
        return None, [*composer.problems, error.problem]
    except yaml.YAMLError as error:
        return None, [*composer.problems, _syntax(error, text)]


def read_text(path: Path) -> str:
    """The text of a file of at most `LIMIT_BYTES` bytes of UTF-8. Raises SuiteError."""
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise SuiteError(f"{path}: {what}")
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > LIMIT_BYTES:
        raise SuiteError(f"{path}:1:1: the file is larger than {LIMIT_BYTES:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8", "replace")) + 1
        bad = data[error.start]
        raise SuiteError(f"{path}:{line}:{column}: not UTF-8 (byte 0x{bad:02x}); save it as UTF-8") from None


def resolve(text: str) -> Scalar:
    """A plain scalar by the core schema of YAML 1.2. Raises ValueError for a number that cannot be one."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text.lstrip("+-")) <= LIMIT_DIGITS:  # as JSON counts them, in which a run stores its suite
        return _number(text)
    if _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
        raise ValueError(f"a number of {len(text):,} characters; at most {LIMIT_DIGITS} are read")
    return text


def _number(text: str) -> int | float | str:
    if _INTEGER.fullmatch(text):
        number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if abs(number) >= 10**LIMIT_DIGITS:  # hexadecimal says more with fewer, and what is kept of a run is decimal
            raise ValueError(f"a number of more than {LIMIT_DIGITS} digits")
        return number
    if _FLOAT.fullmatch(text):
        real = float(text)
        if math.isfinite(real):
            return real
        raise ValueError(f"{text} is too large for a number")
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    return text


def _text_problem(text: str) -> Problem | None:
    """What no YAML may hold; found before the loader, which would say less of it."""
    bad = _UNPRINTABLE.search(text) if len(text) <= LIMIT_BYTES else None
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        return Problem(Place(line, column), _unprintable(bad[0]))
    if len(text) > LIMIT_BYTES or len(text.encode("utf-8")) > LIMIT_BYTES:
        return Problem(Place(1, 1), f"the file is larger than {LIMIT_BYTES:,} bytes")
    return None


def _unprintable(character: str) -> str:
    kind = "lone surrogate" if "\ud800" <= character <= "\udfff" else "control character"
    return f"{kind} U+{ord(character):04X}; remove it"


def _syntax(error: yaml.YAMLError, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    if place.line > text.count("\n") + 1:  # the loader ends a last line that has no end
        place = Place(place.line - 1, len(text) - text.rfind("\n"))
    said = " ".join(str(getattr(error, "problem", None) or error).split())
    hint = next((f" ({hint})" for sign, hint in _HINTS if sign in said), "")
    return Problem(place, f"broken YAML: {said}{hint}")


class _UnreadableError(Exception):
    """Ends the composition: nothing after this place can be trusted."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(place, message)


class _Composer:
    """Builds nodes from the loader's events; recursion is bounded by `LIMIT_DEPTH`."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._loader = _LOADER(text)
        self._anchors: dict[str, Node | None] = {}
        self._count = 0

    def document(self) -> Node:
        try:
            self._loader.get_event()  # the start of the stream
            if self._loader.check_event(yaml.StreamEndEvent):
                raise _UnreadableError(Place(1, 1), "the file is empty")
            self._loader.get_event()  # the start of the document
            root = self._node(self._loader.get_event(), 0)
            self._loader.get_event()  # its end
            after = self._loader.get_event()
            if not isinstance(after, yaml.StreamEndEvent):
                raise _UnreadableError(_place(after), "a second document; the file must be one")
            return root
        finally:
            self._loader.dispose()

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._grow(1, 1 if isinstance(event, yaml.CollectionStartEvent) else 0, depth, _place(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._tag(event, "seq")
            node = self._sequence(event, depth + 1)
        else:
            self._tag(event, "map")
            node = self._mapping(event, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self._anchors:
            raise _UnreadableError(_place(event), f"alias *{bare(event.anchor)} names no anchor above it")
        node = self._anchors[event.anchor]
        if node is None:
            raise _UnreadableError(_place(event), f"alias *{bare(event.anchor)} stands inside its own anchor")
        self._grow(node.size, node.height, depth, _place(event))
        return node

    def _grow(self, size: int, height: int, depth: int, place: Place) -> None:
        self._count += size
        if self._count > LIMIT_NODES:
            raise _UnreadableError(place, f"more than {LIMIT_NODES:,} values, aliases written out")
        if depth + height > LIMIT_DEPTH:
            raise _UnreadableError(place, f"nested deeper than {LIMIT_DEPTH} levels")

    def _sequence(self, start: Any, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth))
        return _collection(items, items, start, {})

    def _mapping(self, start: Any, depth: int) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            key = self._key(event)
            node = self._node(self._loader.get_event(), depth)
            if key is not None and self._is_new(key, keys, _place(event)):
                items[key], keys[key] = node, _place(event)
        return _collection(items, list(items.values()), start, keys)

    def _key(self, event: Any) -> str | None:
        place = _place(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise _UnreadableError(place, "a key must be text")
        self._grow(1, 0, 0, place)
        value = self._scalar(event).value
        if isinstance(value, str) and not (value == "<<" and not event.style):
            return value
        if value == "<<":
            self._add(place, "merge keys (<<) are not read; write the keys out")
        elif value is None:
            self._add(place, "a key is missing before ':'")
        else:
            self._add(place, f"a key must be text; put {bare(event.value)} in quotes")
        return None

    def _is_new(self, key: str, keys: Mapping[str, Place], place: Place) -> bool:
        first = keys.get(key)
        if first is not None:
            self._add(place, f"duplicate key {shown(key)}; it is first at {first.line}:{first.column}")
        return first is None

    def _scalar(self, event: Any) -> Node:
        place = _place(event)
        bad = _UNPRINTABLE.search(event.value) if event.style == '"' else None  # only escapes can hide one
        if bad is not None:
            self._add(place, _unprintable(bad[0]))
            return Node(_UNPRINTABLE.sub("\ufffd", event.value), place)
        size = 1 + len(event.value) // _LONG
        if event.style or (event.tag is not None and event.tag not in _PLAIN_TAGS):
            self._tag(event, "str")
            return Node(event.value, place, size=size)
        value = self._plain(event.value, place)
        self._tag(event, "null", "bool", "int", "float", value=value)
        return Node(value, place, size=size)

    def _plain(self, text: str, place: Place) -> Scalar:
        try:
            return resolve(text)
        except ValueError as error:
            self._add(place, str(error))
            return 0

    def _tag(self, event: Any, *names: str, value: Scalar = None) -> None:
        if event.tag is None or event.tag == "!":
            return
        name = event.tag.removeprefix(_CORE)
        if event.tag == name or name not in names:
            text = f"!!{name}" if event.tag != name else event.tag
            self._add(_place(event), f"tag {bare(text)} is not read here; a suite is plain data")
        elif not isinstance(value, _TYPES.get(name, (object,))):
            self._add(_place(event), f"{shown(value)} is no {name}")

    def _add(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))
        if len(self.problems) > LIMIT_PROBLEMS:
            raise _UnreadableError(place, message)


def _collection(value: Any, inner: list[Node], start: Any, keys: Mapping[str, Place]) -> Node:
    size = 1 + len(keys) + sum(node.size for node in inner)
    return Node(value, _place(start), keys, size, 1 + max((node.height for node in inner), default=0))


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
