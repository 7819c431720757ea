"""Sequences of rows, of which most are equal: blocks of a product, tiles of a pass, rows of a walk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

WINDOW = 4096
"""Rows whose kinds are found at a time."""
KEPT_WINDOWS = 256
MOST_LANDMARKS = 256
"""In a window; where more rows are alike, what comes again soon is found without."""


class Rows:
    """A sequence of `total` rows; rows of one kind have the same content.

    A subclass says which numbers decide a row's content, and makes it.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._windows: dict[int, Numbers] = {}
        self._window, self._first, self._kinds = -1, 0, np.empty(0, np.int64)
        self.landmarks: set[int] = set()  # of the window in which a row was last asked for
        self._contents: list[Any] = []
        self._of_content: dict[Any, int] = {}
        self._outlines: list[int] = []
        self._of_outline: dict[Any, int] = {}
        self._of_key: dict[bytes, int] = {}
        self._equal: dict[int, tuple[int, int, bool]] = {}

    def columns(self, numbers: Numbers) -> list[Numbers]:
        """What decides the content of rows, a number of each row in each."""
        raise NotImplementedError

    def make(self, number: int) -> Any:  # noqa: ANN401
        """The content of a row: what can be compared, and hashed."""
        raise NotImplementedError

    def outline(self, content: Any) -> Any:  # noqa: ANN401
        """What is seen of a row from afar; landmarks are where this changes, if it does."""
        return content

    def kind(self, number: int) -> int:
        """A number that rows of the same content have in common."""
        if number // WINDOW != self._window:
            self._turn(number // WINDOW)
        return int(self._kinds[number - self._first])

    def content(self, number: int) -> Any:  # noqa: ANN401
        """What a row is."""
        return self._contents[self.kind(number)]

    def same(self, start: int, other: int, count: int) -> bool:
        """Whether so many rows from `start` on are equal to those from `other` on, which is not before it."""
        return start == other or (
            other + count <= self.total and self._until(start, other - start, start + count) == start + count
        )

    def periods(self, start: int, step: int, most: int) -> int:
        """How often, `most` at most, the rows from `start` on, `step` of them, come again behind themselves, and then some one.

        The row in which the last time ends has to be equal, too.
        """
        end = self._until(start, step, start + most * step + 1)
        return min(most, (end - 1 - start) // step)

    def _until(self, start: int, step: int, wanted: int) -> int:
        """The first row from `start` on that is not equal to the one `step` behind it; or `wanted`, if there is none before."""
        first, end, found = self._equal.get(step, (start, start, False))
        if not first <= start <= end:
            first, end, found = start, start, False
        if found and start == end:
            return end
        last = self.total - step
        while not found and end < wanted:
            if end >= last:
                found = True
                break
            there = end + step
            count = min(WINDOW - end % WINDOW, WINDOW - there % WINDOW, last - end)
            here = self._kinds_of(end // WINDOW)[end % WINDOW :][:count]
            different = np.flatnonzero(here != self._kinds_of(there // WINDOW)[there % WINDOW :][:count])
            if len(different):
                end, found = end + int(different[0]), True
            else:
                end += count
        self._equal[step] = (first, end, found)
        return min(end, wanted)

    def _turn(self, window: int) -> None:
        self._kinds = self._kinds_of(window)
        self._window, self._first = window, window * WINDOW
        outlines = np.array(self._outlines, np.int64)[self._kinds]
        self.landmarks = self._landmarks(outlines) or self._landmarks(self._kinds)

    def _landmarks(self, kinds: Numbers) -> set[int]:
        """Rows before which the kind changes in a way that is rare in a window, but comes again: as where images begin."""
        starts = np.flatnonzero(kinds[1:] != kinds[:-1]) + 1
        if len(starts) < 3:
            return set()
        lengths, later = np.diff(starts), starts[1:]
        ways = np.stack([lengths, kinds[later - 1], kinds[later]], axis=1)
        _, way, counts = np.unique(ways, axis=0, return_inverse=True, return_counts=True)
        found = [later[way.ravel() == number] for number in np.flatnonzero((counts > 1) & (counts <= MOST_LANDMARKS))]
        apart = [places for places in found if places[-1] - places[0] >= len(kinds) // 2]  # not of a few images alone
        return set((self._first + min(apart, key=len)).tolist()) if apart else set()

    def _kinds_of(self, window: int) -> Numbers:
        kinds = self._windows.get(window)
        if kinds is None:
            while len(self._windows) >= KEPT_WINDOWS:
                self._windows.pop(next(iter(self._windows)))
            kinds = self._windows[window] = self._found(window * WINDOW)
        return kinds

    def _found(self, first: int) -> Numbers:
        """Kinds of a window of rows; a content is made once for all rows with the same columns."""
        numbers = np.arange(first, min(first + WINDOW, self.total), dtype=np.int64)
        keys = np.stack([np.broadcast_to(column, numbers.shape) for column in self.columns(numbers)], axis=1)
        keys = np.ascontiguousarray(keys, np.int64)
        changes = np.flatnonzero(np.any(keys[1:] != keys[:-1], axis=1)) + 1
        starts = np.concatenate(([0], changes)) if len(numbers) else np.empty(0, np.int64)
        found = np.empty(len(starts), np.int64)
        for place, start in enumerate(starts.tolist()):
            key = keys[start].tobytes()
            kind = self._of_key.get(key)
            if kind is None:
                content = self.make(first + start)
                kind = self._of_content.setdefault(content, len(self._contents))
                if kind == len(self._contents):
                    self._contents.append(content)
                    outline = self._of_outline.setdefault(self.outline(content), len(self._of_outline))
                    self._outlines.append(outline)
                self._of_key[key] = kind
            found[place] = kind
        return np.repeat(found, np.diff(np.append(starts, len(numbers))))
