"""Explain a store's errors, and try again for a while where it does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ofb_ray.errors import one_line

_PATIENCE_SECONDS = 600.0
T = TypeVar("T")


def explain(error: OSError) -> str:
    """Explain a store's error in one line, with a remedy."""
    text = one_line(str(error), 200) or type(error).__name__
    for sign, meaning in _MEANINGS.items():
        if sign in str(error):
            return f"{meaning} ({text})"
    return text


_MEANINGS = {
    # Where no keys are set, the clients ask the machine for its role at this address.
    "computeMetadata": "there are no credentials: set GOOGLE_APPLICATION_CREDENTIALS, or give the machine a role",
    "169.254.169.254": "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a role",
    "AccessDenied": "the credentials may not do this: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role",
    "InvalidAccessKeyId": "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "SignatureDoesNotMatch": "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "403 Forbidden": "the credentials are refused: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role",
    "401 Unauthorized": "the credentials are refused: check them",
    "NoSuchBucket": "there is no such bucket: make it, or correct the name",
    "error sending request": "the store cannot be reached: check its name, AWS_ENDPOINT_URL and the network",
}


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


def within(seconds: float, action: Callable[[], T]) -> T:
    """Do something that may hang, in a thread that is left behind if it does; signals reach the caller meanwhile.

    Raises:
        TimeoutError: it took longer.
    """
    outcome: list[tuple[T | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((action(), None))
        except BaseException as error:  # the caller's to judge
            outcome.append((None, error))

    thread = threading.Thread(target=run, name="first-contact", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer in {seconds:.0f} s: check the store's name, its endpoint and the network")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
