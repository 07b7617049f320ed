"""The journal: what was committed is never lost and never doubled, whatever is cut off; damage is never passed over."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import IncompleteError, RunError
from harness.journal import NAME, Journal, Recorded
from harness.types import Completion, Generation, Preference, Sample

from .journals_for_tests import IDENTITY, SIZES, batches, everything, filled, lines_of, recorded


def is_commit(line: bytes) -> bool:
    return line.startswith(b'{"commit"')


def parts(path: Path) -> tuple[bytes, list[bytes]]:
    """The header, and each batch with its commit."""
    header, *lines = lines_of(path)
    found: list[bytes] = [b""]
    for line in lines:
        found[-1] += line
        if is_commit(line):
            found.append(b"")
    return header, found[:-1]


@pytest.fixture
def without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of hundreds of journals, where only the bytes matter."""
    monkeypatch.setattr(os, "fdatasync", lambda d: None)
    monkeypatch.setattr(os, "fsync", lambda d: None)


AWKWARD = (
    "",
    "\n",
    "a\r\nb\u2028c\u0085d",
    "\x00\x1b[31m",
    "𝄞 ünïcode 漢字",
    '{"commit":1,"count":1,"crc32":"00000000"}\n',
    '"\\',
    "NA",
    "x" * 100_000,
)


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    completions = tuple(Completion(t, "ok", None, "stop", 7, -0.1 - i) for i, t in enumerate(AWKWARD))
    failed = Completion(None, "timeout", "took 60 s")
    rated = Completion("r", ratings={"fluency": (4.0, None, 2.5)})
    generations = [
        Generation(Sample("1", task="t"), "m", completions),
        Generation(Sample("2", task="t"), "m", (failed, rated), (Preference(1, "reference", "a", True),)),
        Generation(Sample("1", task="other"), "hf:model/x", (Completion("t"),)),
    ]
    records = [Recorded(f"k{i}", g) for i, g in enumerate(generations)]
    journal = Journal.create(tmp_path, IDENTITY)
    journal.append(records[:1])
    journal.append(records[1:])
    assert [r.failed for r in records] == [False, True, False]
    for found in (journal, Journal.open(tmp_path)):
        assert everything(found) == records
        assert (found.identity, found.batches, found.torn) == (IDENTITY, 2, 0)
        assert set(found.index) == {("t", "m", "k0"), ("t", "m", "k1"), ("other", "hf:model/x", "k2")}


def test_a_record_holds_of_its_sample_only_what_names_it(tmp_path: Path) -> None:
    sample = Sample("1", "a prompt", ("a reference",), "t", "en", "c", {"k": 1})
    journal = Journal.create(tmp_path, IDENTITY)
    journal.append([Recorded("k", Generation(sample, "m", (Completion("x"),)))])
    (found,) = everything(Journal.open(tmp_path))
    assert found.generation.sample == Sample("1", task="t")
    assert b"a prompt" not in (tmp_path / NAME).read_bytes()


def test_records_come_in_the_order_they_are_asked_for(tmp_path: Path) -> None:
    journal = Journal.open(filled(tmp_path).parent)
    backwards = list(reversed(journal.index))
    assert [r.key for r in journal.read(iter(backwards))] == backwards


def test_equal_contents_are_equal_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        filled(folder)
    assert (folders[0] / NAME).read_bytes() == (folders[1] / NAME).read_bytes()


def test_a_batch_is_one_write_and_one_sync_and_durable_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.create(tmp_path, IDENTITY)
    calls: list[tuple[str, int]] = []
    write, sync = os.write, os.fdatasync

    def traced_write(descriptor: int, data: Any) -> int:
        calls.append(("write", len(data)))
        return write(descriptor, data)

    def traced_sync(descriptor: int) -> None:
        calls.append(("sync", os.fstat(descriptor).st_size))
        sync(descriptor)

    monkeypatch.setattr(os, "write", traced_write)
    monkeypatch.setattr(os, "fdatasync", traced_sync)
    for batch in batches():
        before = journal.path.stat().st_size
        journal.append(batch)
        size = journal.path.stat().st_size
        assert calls == [("write", size - before), ("sync", size)]
        calls.clear()


def test_a_system_that_writes_little_at_a_time_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "pieces").mkdir()
    whole = filled(tmp_path / "whole").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:11]))
    assert filled(tmp_path / "pieces").read_bytes() == whole


@pytest.mark.usefixtures("without_sync")
def test_a_tail_torn_at_any_byte_is_cut_off_and_the_journal_goes_on(tmp_path: Path) -> None:
    path = filled(tmp_path)
    whole = path.read_bytes()
    last = batches()[-1]
    start = len(whole) - len(parts(path)[1][-1])
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        journal = Journal.open(tmp_path)
        assert len(journal.index) == sum(SIZES[:-1]), cut
        assert journal.torn == cut - start
        journal.repair()
        assert (path.stat().st_size, journal.torn) == (start, 0)
        journal.append(last)
        assert path.read_bytes() == whole, cut
        assert len(Journal.open(tmp_path).index) == sum(SIZES)


TORN = {
    "zeros": lambda tail: bytes(len(tail)),
    "zeros first": lambda tail: bytes(len(tail) // 2) + tail[len(tail) // 2 :],
    "zeros last": lambda tail: tail[: len(tail) // 2] + bytes(len(tail) - len(tail) // 2),
    "noise": lambda tail: bytes(i * 37 % 256 for i in range(len(tail))),
    "lines of noise": lambda tail: b"\n\n{}\n[]\n\xff\n",
    "no commit": lambda tail: b"".join(tail.splitlines(keepends=True)[:-1]),
    "only the commit": lambda tail: tail.splitlines(keepends=True)[-1],
    "a record less": lambda tail: b"".join(tail.splitlines(keepends=True)[1:]),
}


@pytest.mark.parametrize("how", TORN)
def test_what_a_power_cut_makes_of_the_last_batch_is_torn_too(tmp_path: Path, how: str) -> None:
    """A file may grow before its blocks are written: then they hold zeros, or what was on the disk before."""
    path = filled(tmp_path)
    whole = path.read_bytes()
    tail = parts(path)[1][-1]
    path.write_bytes(whole[: -len(tail)] + TORN[how](tail))
    journal = Journal.open(tmp_path)
    assert len(journal.index) == sum(SIZES[:-1])
    assert journal.torn > 0
    journal.repair()
    journal.append(batches()[-1])
    assert path.read_bytes() == whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5), share=st.floats(0, 1))
@pytest.mark.usefixtures("without_sync")
def test_a_cut_costs_only_the_batch_it_falls_into(tmp_path: Path, sizes: list[int], share: float) -> None:
    path = filled(tmp_path, tuple(sizes))
    header, found = parts(path)
    data = path.read_bytes()
    cut = len(header) + int(share * (len(data) - len(header)))
    ends = list(itertools.accumulate(map(len, found), initial=len(header)))
    whole = sum(end <= cut for end in ends) - 1
    path.write_bytes(data[:cut])
    journal = Journal.open(tmp_path)
    assert [r.sample_key for r in everything(journal)] == [f"key{i}" for i in range(sum(sizes[:whole]))]
    assert journal.torn == cut - ends[whole]


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_a_changed_bit_before_the_last_batch_is_an_error(tmp_path: Path, mask: int) -> None:
    path = filled(tmp_path)
    header, found = parts(path)
    whole = path.read_bytes()
    positions = range(len(header), len(whole) - len(found[-1]), 3)
    assert len(positions) > 100
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= mask
        path.write_bytes(damaged)
        with pytest.raises(RunError):
            Journal.open(tmp_path)


def test_any_byte_for_the_line_end_of_any_earlier_batch_is_an_error(tmp_path: Path) -> None:
    path = filled(tmp_path)
    whole = path.read_bytes()
    last = len(whole) - len(parts(path)[1][-1])
    ends = [i for i, byte in enumerate(whole[:last]) if byte == 0x0A]
    for position, byte in itertools.product(ends, (0x00, 0x20, 0x2C, 0x7D)):
        path.write_bytes(whole[:position] + bytes([byte]) + whole[position + 1 :])
        with pytest.raises(RunError):
            Journal.open(tmp_path)


INNER = sum(SIZES[:-1]) + len(SIZES) - 1  # lines before the last batch, which is a torn tail whatever it lacks


def _without_line(lines: list[bytes]) -> Iterator[list[bytes]]:
    yield from (lines[:i] + lines[i + 1 :] for i in range(INNER))


def _twice_a_line(lines: list[bytes]) -> Iterator[list[bytes]]:
    yield from (lines[: i + 1] + lines[i:] for i in range(INNER))


def _rearranged(lines: list[bytes]) -> Iterator[list[bytes]]:
    found: list[list[bytes]] = [[]]
    for line in lines:
        found[-1].append(line)
        if is_commit(line):
            found.append([])
    whole = [b for b in found if b]
    for a, b in itertools.combinations(range(len(whole)), 2):
        swapped = list(whole)
        swapped[a], swapped[b] = swapped[b], swapped[a]
        yield sum(swapped, [])
    for i in range(len(whole)):
        yield sum(whole[: i + 1] + whole[i:], [])
    for i in range(len(whole) - 1):
        yield sum(whole[:i] + whole[i + 1 :], [])


DAMAGE = {"a line less": _without_line, "a line twice": _twice_a_line, "batches moved, twice, gone": _rearranged}


@pytest.mark.parametrize("how", DAMAGE)
def test_lines_and_batches_that_are_not_where_they_were_are_an_error(tmp_path: Path, how: str) -> None:
    path = filled(tmp_path)
    header, *lines = lines_of(path)
    cases = list(DAMAGE[how](lines))
    assert len(cases) >= 6
    for case in cases:
        path.write_bytes(header + b"".join(case))
        with pytest.raises(RunError):
            Journal.open(tmp_path)


def test_the_message_says_where_and_what_to_do(tmp_path: Path) -> None:
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"text 2", b"text X"))
    with pytest.raises(RunError, match=r"journal\.jsonl: damaged in batch 2 .* --out"):
        Journal.open(tmp_path)


HEADERS = {
    "empty file": b"",
    "no JSON": b"hello\n",
    "not UTF-8": b"\xff\xfe\n",
    "a list": b"[1]\n",
    "another kind": b'{"schema_version":1,"kind":"samples"}\n',
    "no kind": b'{"schema_version":1,"identity":{}}\n',
    "cut off": b'{"schema_version":1,"kind":"jou',
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_is_none_is_an_error(tmp_path: Path, case: str) -> None:
    path = filled(tmp_path)
    path.write_bytes(HEADERS[case] + b"".join(lines_of(path)[1:]))
    with pytest.raises(RunError, match="header"):
        Journal.open(tmp_path)


def test_a_missing_header_does_not_cost_the_first_record(tmp_path: Path) -> None:
    path = filled(tmp_path)
    path.write_bytes(b"".join(lines_of(path)[1:]))
    with pytest.raises(RunError, match="header"):
        Journal.open(tmp_path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_refused_by_both_numbers(tmp_path: Path, version: object) -> None:
    path = filled(tmp_path)
    header, *rest = lines_of(path)
    path.write_bytes(json.dumps({**json.loads(header), "schema_version": version}).encode() + b"\n" + b"".join(rest))
    with pytest.raises(RunError, match=rf"format {version}, this version reads 1"):
        Journal.open(tmp_path)


def test_no_journal_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no run: there is no journal\.jsonl"):
        Journal.open(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("where", ["at once", "after some bytes", "at the sync"])
def test_a_full_disk_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, code: int
) -> None:
    *first, last = batches()
    journal = Journal.create(tmp_path, IDENTITY)
    for batch in first:
        journal.append(batch)
    before, keys = journal.path.read_bytes(), dict(journal.index)
    room = {"at once": 0, "after some bytes": 100, "at the sync": 10**6}[where]
    write = os.write

    def full_write(descriptor: int, data: Any) -> int:
        nonlocal room
        if room == 0:
            raise OSError(code, os.strerror(code))
        written = write(descriptor, data[:room])
        room -= written
        return written

    def full_sync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", full_write)
    if where == "at the sync":
        monkeypatch.setattr(os, "fdatasync", full_sync)
    with pytest.raises(IncompleteError, match=os.strerror(code)):
        journal.append(last)
    monkeypatch.undo()
    assert journal.path.read_bytes() == before
    assert (journal.index, journal.batches) == (keys, len(first))
    journal.append(last)  # there is room again
    assert len(Journal.open(tmp_path).index) == sum(SIZES)


def test_of_two_lines_of_one_key_the_later_counts_and_the_earlier_stays(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = path.read_bytes()
    journal = Journal.open(tmp_path)
    keys = list(journal.index)
    old = everything(journal)
    new = [recorded(0, "better", "best"), recorded(9, "one more")]
    journal.append(new)
    for found in (journal, Journal.open(tmp_path)):
        assert list(found.index) == [*keys, ("t", "m", "key9")]
        assert everything(found) == [new[0], *old[1:], new[1]]
    assert path.read_bytes().startswith(before)


def test_a_torn_second_line_leaves_the_first(tmp_path: Path) -> None:
    path = filled(tmp_path)
    old, size = everything(Journal.open(tmp_path)), path.stat().st_size
    Journal.open(tmp_path).append([recorded(0, "better", "best")])
    whole = path.read_bytes()
    for cut in (size + 10, len(whole) - 1):
        path.write_bytes(whole[:cut])
        journal = Journal.open(tmp_path)
        assert (everything(journal), journal.torn) == (old, cut - size)


def test_a_text_whose_model_failed_while_writing_it_is_a_failure(tmp_path: Path) -> None:
    half = Completion("half a", "error", "connection lost")
    assert Recorded("k", Generation(Sample("1", task="t"), "m", (Completion("whole"), half))).failed


def test_nothing_is_appended_behind_what_was_not_read(tmp_path: Path) -> None:
    path = filled(tmp_path)
    journal = Journal.open(tmp_path)
    with path.open("ab") as file:
        file.write(b"half a li")
    before = path.read_bytes()
    for found in (journal, Journal.open(tmp_path)):
        with pytest.raises(RunError, match="cannot be appended to"):
            found.append([recorded(9, "x")])
    assert path.read_bytes() == before
