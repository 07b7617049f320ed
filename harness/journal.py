"""The journal of a run: what the models said, durable batch by batch, and resumable after any kind of death.

    {"schema_version":1,"kind":"journal","identity":{...}}          header, written with the file, atomically
    {"key":"SAMPLE KEY","task":"t","id":"7","model":"m","completions":[...]}    a line per generation of the batch,
    {"commit":1,"count":2,"crc32":"0badf00d"}                                   then one that says the batch is whole

A batch is one write and one sync. What follows the last good commit is a torn tail: it is cut off before anything is
appended. A batch that does not fit its commit anywhere before that is damage, and a hard error. Nothing that was
committed is ever taken away: of two lines of one key the later counts.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import DataError, IncompleteError, RunError
from harness.files import sync, write_atomically
from harness.grouping import has_text
from harness.keys import SCHEMA_VERSION
from harness.records import generation_of, record_of
from harness.strictjson import dumps, loads
from harness.types import Generation, Json, Sample

NAME = "journal.jsonl"
_COMMIT = b'{"commit":'
Key = tuple[str, str, str]
"""(task, model, sample key)"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One generation as the journal holds it: of its sample only task and id, and the sample's key."""

    sample_key: str
    generation: Generation

    @property
    def key(self) -> Key:
        return (self.generation.sample.task, self.generation.model, self.sample_key)

    @property
    def failed(self) -> bool:
        return not all(map(has_text, self.generation.completions))

    def line(self) -> bytes:
        sample = Sample(self.generation.sample.id, task=self.generation.sample.task)
        record = record_of(replace(self.generation, sample=sample))
        return dumps({"key": self.sample_key, **record}).encode() + b"\n"


def _batch_bytes(number: int, lines: Sequence[bytes]) -> bytes:
    body = b"".join(lines)
    return body + b'{"commit":%d,"count":%d,"crc32":"%08x"}\n' % (number, len(lines), zlib.crc32(body))


class Journal:
    """An open journal. `index` maps each recorded key to the offset and length of its last line."""

    def __init__(self, path: Path, identity: Mapping[str, Json]) -> None:
        self.path = path
        self.identity = identity
        self.index: dict[Key, tuple[int, int]] = {}
        self.batches = 0
        self.torn = 0
        self._end = 0

    @classmethod
    def create(cls, folder: Path, identity: Mapping[str, Json]) -> Journal:
        header = dumps({"schema_version": SCHEMA_VERSION, "kind": "journal", "identity": identity})
        write_atomically(folder / NAME, header.encode() + b"\n")
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Reads and checks all of it. Raises RunError for damage; a torn tail is noted in `torn`, and left alone."""
        path = folder / NAME
        try:
            with path.open("rb") as file:
                first = file.readline()
                journal = cls(path, _identity(first, path))
                journal._scan(file, len(first))
        except FileNotFoundError:
            raise RunError(f"{folder} holds no run: there is no {NAME} in it") from None
        return journal

    def _scan(self, file: Iterator[bytes], offset: int) -> None:
        self._end = offset
        pending: list[tuple[Key, int, int]] = []
        crc, fault = 0, False
        for line in file:
            start, offset = offset, offset + len(line)
            if not line.startswith(_COMMIT):
                crc = zlib.crc32(line, crc)
                key = _key(line)
                fault = fault or key is None
                if key is not None:
                    pending.append((key, start, len(line)))
                continue
            if fault or not self._fits(line, len(pending), crc):
                self._refuse_unless_last(line, file)
                break
            self.index.update({key: (start, length) for key, start, length in pending})
            self.batches += 1
            self._end = offset
            pending, crc = [], 0
        self.torn = self.path.stat().st_size - self._end

    def _fits(self, line: bytes, count: int, crc: int) -> bool:
        expected = {"commit": self.batches + 1, "count": count, "crc32": f"{crc:08x}"}
        return line.endswith(b"\n") and _commit(line) == expected

    def _refuse_unless_last(self, line: bytes, rest: Iterator[bytes]) -> None:
        """A bad commit is a torn write only at the very end, and only if no batch before it lost its commit."""
        expected = _commit(line).get("commit", self.batches + 1)
        if next(rest, b"") or expected != self.batches + 1:
            raise RunError(
                f"{self.path}: damaged in batch {self.batches + 1} (byte {self._end}), with more behind it. "
                "This is no interrupted write: restore the file, or start a new run with another --out."
            )

    def repair(self) -> None:
        """Cut the torn tail off, so that what is appended stands behind the last whole batch."""
        if self.torn:
            with self.path.open("r+b") as file:
                file.truncate(self._end)
                sync(file.fileno())
            self.torn = 0

    def append(self, batch: Sequence[Recorded]) -> None:
        """One batch, durable when this returns. A write that fails (a full disk) leaves no trace.

        Raises RunError where the file is not as it was read: something else wrote in it, or its tail is torn still.
        """
        lines = [record.line() for record in batch]
        data = _batch_bytes(self.batches + 1, lines)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            self._write_and_sync(descriptor, data)
        finally:
            os.close(descriptor)
        offset = self._end
        for record, line in zip(batch, lines, strict=True):
            self.index[record.key] = (offset, len(line))
            offset += len(line)
        self._end += len(data)
        self.batches += 1

    def _write_and_sync(self, descriptor: int, data: bytes) -> None:
        start = os.fstat(descriptor).st_size
        if start != self._end:
            raise RunError(
                f"{self.path}: cannot be appended to: it ends at byte {start}, not {self._end} as it was read"
            )
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
            sync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, start)
            raise IncompleteError(
                f"{self.path}: could not write: {error.strerror}; what was written before is safe, and the same "
                "command continues once there is room"
            ) from error

    def read(self, keys: Iterable[Key]) -> Iterator[Recorded]:
        """The generations under `keys`, in their order, from disk."""
        with self.path.open("rb") as file:
            for key in keys:
                offset, length = self.index[key]
                file.seek(offset)
                yield _recorded(file.read(length), self.path)


def _commit(line: bytes) -> Mapping[str, Json]:
    try:
        found = loads(line, "journal")
    except DataError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _identity(line: bytes, path: Path) -> Mapping[str, Json]:
    try:
        header = loads(line, str(path))
    except DataError:
        header = None
    if not isinstance(header, Mapping) or header.get("kind") != "journal":
        raise RunError(f"{path}: its first line is not a journal's header; it is damaged, or no journal")
    if header.get("schema_version") != SCHEMA_VERSION:
        raise RunError(
            f"{path}: written in format {header.get('schema_version')}, this version reads {SCHEMA_VERSION}: "
            "use the version of reward-harness that wrote it"
        )
    identity = header.get("identity")
    return identity if isinstance(identity, Mapping) else {}


def _key(line: bytes) -> Key | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = loads(line, "journal")
    except DataError:
        return None
    if not isinstance(record, Mapping):
        return None
    parts = (record.get("task", ""), record.get("model", ""), record.get("key"))
    task, model, key = parts
    if isinstance(task, str) and isinstance(model, str) and isinstance(key, str):
        return task, model, key
    return None


def _recorded(line: bytes, path: Path) -> Recorded:
    record = loads(line, str(path))
    if not isinstance(record, Mapping):
        raise RunError(f"{path}: it changed while it was read")
    rest = {k: v for k, v in record.items() if k != "key"}
    return Recorded(str(record.get("key")), generation_of(rest, str(path)))
