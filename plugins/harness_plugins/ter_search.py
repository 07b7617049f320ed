"""The search behind TER: Tercom's, with the order of its candidates and the limits that sacreBLEU gives it.

`edits` equals `sacrebleu.metrics.lib_ter.translation_edit_rate` on every pair of texts: greedily the shift of a phrase that
lowers the edit distance most, until none does or 1,000 have been tried, then the distance that is left. What differs
is how a distance comes about: a row of the table is two integers of one bit per reference word (steps up and steps
down along the reference), and the next row takes a dozen operations on them (Myers 1999, in Hyyrö's form). sacreBLEU looks only
at a band of the table along its diagonal; here a match outside the band is masked, and no path through cells without
matches is cheaper than one within the band, so the distances are those of the band.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Words = Sequence[str]

_MAX_SHIFT_SIZE = 10
_MAX_SHIFT_DISTANCE = 50
_MAX_CANDIDATES = 1000
_BEAM = 25


class _Row(NamedTuple):
    """A row of the table: bit j of `up` (`down`) is set where cell j + 1 is one more (less) than cell j; bit j of
    `grown` where cell j + 1 is one more than the cell above it, of `kept` where it is equal to it."""

    up: int
    down: int
    grown: int
    kept: int


class _Alignment(NamedTuple):
    """Which words of either text are wrong as they stand, and behind which completion word each reference word stands."""

    place: list[int]
    wrong_here: list[int]
    wrong_there: list[int]


class _Table:
    """Edit distances of texts of one length to one reference, in sacreBLEU's band."""

    def __init__(self, length: int, reference: Words) -> None:
        self.reference, self.length = reference, length
        self._full = (1 << len(reference)) - 1
        self._bits: defaultdict[str, int] = defaultdict(int)
        for j, word in enumerate(reference):
            self._bits[word] |= 1 << j
        self._bands = [(0, len(reference) + 1), *(self._band(i) for i in range(1, length + 1))]
        masks = [(1 << last) - (1 << first) for first, last in self._bands]
        # a match steps from a cell in the band of one row to the next cell in the band of the next
        self._open = [0, *((masks[i] >> 1) & masks[i - 1] & self._full for i in range(1, length + 1))]

    def _band(self, i: int) -> tuple[int, int]:
        ratio = len(self.reference) / self.length
        beam = math.ceil(ratio / 2 + _BEAM) if ratio / 2 > _BEAM else _BEAM
        diagonal = math.floor(i * ratio)
        end = len(self.reference) + 1
        return max(0, diagonal - beam), end if i == self.length else min(end, diagonal + beam)

    def first(self) -> _Row:
        return _Row(self._full, 0, 0, 0)

    def rows(self, words: Words) -> list[_Row]:
        found = [self.first()]
        for i in range(1, len(words) + 1):
            found.append(self._next(found[-1], self._bits.get(words[i - 1], 0) & self._open[i]))
        return found

    def _next(self, row: _Row, same: int) -> _Row:
        up, down, full = row.up, row.down, self._full
        level = (((same & up) + up) ^ up) | same
        grown = (down | ~(level | up)) & full
        shrunk = up & level
        shifted = (grown << 1 | 1) & full
        steep = same | down
        return _Row(((shrunk << 1) | ~(steep | shifted)) & full, shifted & steep, grown, full ^ grown ^ shrunk)

    def distance(self, words: Words, start: int, rows: Sequence[_Row]) -> int:
        """Of words whose first `start` are those that gave `rows`. Nearly all time goes here: `_next`, without a call."""
        up, down = rows[start].up, rows[start].down
        full, bits, open_ = self._full, self._bits, self._open
        for i in range(start, len(words)):
            same = bits.get(words[i], 0) & open_[i + 1]
            level = (((same & up) + up) ^ up) | same
            shifted = ((down | ~(level | up)) << 1 | 1) & full
            steep = same | down
            up = ((up & level) << 1 | ~(steep | shifted)) & full
            down = shifted & steep
        return len(words) + up.bit_count() - down.bit_count()

    def alignment(self, words: Words, rows: Sequence[_Row]) -> _Alignment:
        place, wrong_here, wrong_there = [], [], []
        here = -1
        for wrong, takes, needs in reversed(list(self._steps(words, rows))):
            here += takes
            if takes:
                wrong_here.append(wrong)
            if needs:
                place.append(here)
                wrong_there.append(wrong)
        return _Alignment(place, _sums(wrong_here), _sums(wrong_there))

    def _steps(self, words: Words, rows: Sequence[_Row]) -> Iterator[tuple[int, int, int]]:
        """The way through the table, from its end: (is it an edit, completion words taken, reference words needed).

        Of equally short ways, the one that sacreBLEU takes: diagonally, else down, else along. A cell is never one more than
        one above it that lies outside the band (that of the band's last is reached along as cheaply), so only
        the diagonal has to be looked at.
        """
        i, j = len(words), len(self.reference)
        while i > 0 or j > 0:
            first, last = self._bands[i - 1] if i else (0, 0)
            differs = int(i == 0 or j == 0 or words[i - 1] != self.reference[j - 1])
            if i and j and first < j <= last and self._diagonal(rows, i, j) == differs:
                i, j = i - 1, j - 1
                yield differs, 1, 1
            elif i and (j == 0 or rows[i].grown >> (j - 1) & 1):
                i -= 1
                yield 1, 1, 0
            else:
                j -= 1
                yield 1, 0, 1

    def _diagonal(self, rows: Sequence[_Row], i: int, j: int) -> int:
        """By how much cell (i, j) is above cell (i - 1, j - 1)."""
        bit = j - 1
        above = (rows[i - 1].up >> bit & 1) - (rows[i - 1].down >> bit & 1)
        grown, kept = rows[i].grown >> bit & 1, rows[i].kept >> bit & 1
        return above + (1 if grown else 0 if kept else -1)


def _sums(flags: Sequence[int]) -> list[int]:
    """How many of the first 0, 1, 2... are set."""
    return [0, *accumulate(flags)]


def edits(completion: Words, reference: Words) -> int:
    """Edits and shifts that turn the completion's words into the reference's."""
    if not reference or not completion:
        return len(completion) + len(reference)
    table = _Table(len(completion), reference)
    words, shifts, tried = list(completion), 0, 0
    rows = table.rows(words)
    while True:
        gain, shifted, tried = _best_shift(table, words, rows, tried)
        if tried >= _MAX_CANDIDATES or gain <= 0:
            return shifts + table.distance(words, len(words), rows)
        words, shifts = shifted, shifts + 1
        rows = table.rows(words)


def _best_shift(table: _Table, words: list[str], rows: Sequence[_Row], tried: int) -> tuple[int, list[str], int]:
    """What the best shift gains, its words, and how many have been tried so far: the most gained, then the longest
    phrase, then the first, then the one moved furthest to the front."""
    best: tuple[int, int, int, int] | None = None
    best_words = words
    before = table.distance(words, len(words), rows)
    alignment = table.alignment(words, rows)
    for start, there, length in _phrases(words, table.reference, alignment):
        if start <= alignment.place[there] < start + length:
            continue
        for target in _targets(alignment.place, there, length):
            moved = _moved(words, start, length, target)
            gain = before - table.distance(moved, min(start, target), rows)
            tried += 1
            if best is None or (gain, length, -start, -target) > best:
                best, best_words = (gain, length, -start, -target), moved
        if tried >= _MAX_CANDIDATES:
            break
    return best[0] if best else 0, best_words, tried


def _phrases(words: Words, reference: Words, alignment: _Alignment) -> Iterator[tuple[int, int, int]]:
    """(start here, start there, length) of phrases in both texts, in which both have something wrong as they stand."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for there, word in enumerate(reference):
        places[word].append(there)
    _, wrong_here, wrong_there = alignment
    for start, word in enumerate(words):
        if wrong_here[min(start + _MAX_SHIFT_SIZE, len(words))] == wrong_here[start]:
            continue
        found = places.get(word, [])
        for there in found[bisect_left(found, start - _MAX_SHIFT_DISTANCE) :]:
            if there - start > _MAX_SHIFT_DISTANCE:
                break
            for length in range(1, _run(words, reference, start, there) + 1):
                if wrong_here[start + length] > wrong_here[start] and wrong_there[there + length] > wrong_there[there]:
                    yield start, there, length


def _run(words: Words, reference: Words, start: int, there: int) -> int:
    longest = min(_MAX_SHIFT_SIZE, len(words) - start, len(reference) - there)
    for length in range(1, longest):
        if words[start + length] != reference[there + length]:
            return length
    return longest


def _targets(place: Sequence[int], there: int, length: int) -> Iterator[int]:
    """Where the phrase may go: in front of the text, or behind the words that its reference words stand behind."""
    last = -1
    for index in range(there - 1, min(there + length, len(place))):
        target = 0 if index == -1 else place[index] + 1
        if target != last:
            yield target
        last = target


def _moved(words: list[str], start: int, length: int, target: int) -> list[str]:
    phrase, end = words[start : start + length], start + length
    if target < start:
        return words[:target] + phrase + words[target:start] + words[end:]
    if target > end:
        return words[:start] + words[end:target] + phrase + words[target:]
    return words[:start] + words[end : length + target] + phrase + words[length + target :]
