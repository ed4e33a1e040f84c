"""Explain a store's errors, and try again for a while where it does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_PATIENCE_SECONDS = 600.0
T = TypeVar("T")


def explain(error: OSError) -> str:
    """Explain a store's error in one line, with a remedy."""
    text = first_line(error)
    for sign, meaning in _MEANINGS.items():
        if sign in text:
            return f"{meaning} ({text})"
    return text


_MEANINGS = {
    "ACCESS_DENIED": "the credentials may not do this: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role",
    "INVALID_ACCESS_KEY_ID": "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "SIGNATURE": "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "HTTP response code 403": "the credentials are refused: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role",
    "HTTP response code 401": "the credentials are refused: check them",
    "NETWORK_CONNECTION": "the store cannot be reached: check AWS_ENDPOINT_URL and the network",
    "NO_SUCH_BUCKET": "there is no such bucket: make it, or correct the name",
    "Could not resolve": "the store cannot be reached: check its name and the network",
}


def first_line(error: BaseException) -> str:
    """Return an error's text on one line, at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def patiently(action: Callable[[], T], note: Callable[[str], None], seconds: float = _PATIENCE_SECONDS) -> T:
    """Try an action until the store answers again, with growing pauses; the last error after so many seconds.

    Raises:
        OSError: it never did.
    """
    end, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            return action()
        except OSError as error:
            if time.monotonic() + pause > end:
                raise
            note(f"the store does not answer, next try in {pause:.0f} s: {explain(error)}")
            time.sleep(pause)
            pause = min(2 * pause, 30.0)
