"""The errors that a user may see, each one line that names the remedy."""

from __future__ import annotations

import re
from difflib import get_close_matches

LINE = 300
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufeff\u061c\u200b\u200e\u200f\u2060-\u2064\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Make the characters visible that would move a terminal's cursor, end a line or turn its direction."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in "\n\t" else _escape(found[0]), text)


def one_line(text: str, most: int = LINE) -> str:
    """Write a text as one printable line of at most so many characters, its end kept: there the remedy stands."""
    line = " ".join(printable(text).split())
    if len(line) <= most:
        return line
    head = most // 2
    return f"{line[:head]} ... {line[head + 5 - most :]}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


class InputError(Exception):
    """Bad input: printed as one line of at most `LINE` characters, exit code 2, nothing created.

    Args:
        message: what is wrong and what is allowed.
        file: the file it stands in, if any.
        line: its line in that file, counted from 1.
        key: the dotted key.
    """

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None, key: str | None = None):
        place = ":".join(str(part) for part in (file, line) if part is not None)
        head = ": ".join(part for part in (place, key) if part)
        # The place comes first and is kept, as far as it is no novel itself.
        head = one_line(head, LINE // 2)
        room = LINE - len(head) - 12  # `ofb-ray: ` stands before it
        super().__init__(f"{head}: {one_line(message, room)}" if head else one_line(message, room))
        self.message, self.file, self.line, self.key = message, file, line, key


class BrokenFileError(InputError, ValueError):
    """A file of ours that is torn, of another kind, or not a plain file."""


class UnreachableBudget(InputError):
    """A budget below the smallest subnet; of one that limits latency this is known only when its table is measured."""


class Interrupted(Exception):
    """A trial ended early through no fault of its input; the same command continues it."""


class TrialFailed(Exception):
    """A trial cannot go on (it diverged, say); its message is the reason that the record keeps."""


class TrialStopped(Exception):
    """A gate has ended a trial early; its message is the reason that the record keeps."""


def nearest(word: str, known: list[str]) -> str:
    """`"; did you mean 'x'?"` for the known word closest to `word`, or an empty string."""
    close = [name for name in known if word and name.startswith(f"{word}_")] or get_close_matches(
        word, known, n=1, cutoff=0.5
    )
    return f"; did you mean {close[0]!r}?" if close else ""
