"""The errors that a user may see, each one line that names the remedy."""

from __future__ import annotations

from difflib import get_close_matches


class InputError(Exception):
    """Bad input: printed as one line, exit code 2, nothing created.

    Args:
        message: what is wrong and what is allowed.
        file: the file it stands in, if any.
        line: its line in that file, counted from 1.
        key: the dotted key.
    """

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None, key: str | None = None):
        place = ":".join(str(part) for part in (file, line) if part is not None)
        head = ": ".join(part for part in (place, key) if part)
        super().__init__(f"{head}: {message}" if head else message)
        self.message, self.file, self.line, self.key = message, file, line, key


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
