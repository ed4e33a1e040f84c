"""Which instructions for int8 this CPU has, and what that means for an int8 network here."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# In the words of /proc/cpuinfo; those that multiply int8 fast, and do not saturate sums of two products.
_FAST = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
_KNOWN = ("avx2", *_FAST)
_X86 = ("x86_64", "amd64", "i686", "i386")


@dataclass(frozen=True)
class Instructions:
    """What a CPU has for int8.

    Args:
        names: of its instructions, as Linux writes them; empty where it does not say.
        x86: whether it is of Intel's family, whose older members saturate sums of int8 products at 16 bits.
    """

    names: tuple[str, ...]
    x86: bool

    @property
    def fast(self) -> bool:
        """Whether it is known to multiply int8 faster than float32."""
        return any(name in _FAST for name in self.names)

    @property
    def saturates(self) -> bool:
        """Whether eight-bit weights may overflow, so that seven bits are used."""
        return self.x86 and not self.fast


def sentence(names: Sequence[str], fast: bool, cpu: str = "This CPU") -> str:
    """Say which instructions were found and whether int8 is fast with them."""
    found = f"found {', '.join(names)}" if names else "found none"
    if fast:
        return f"{cpu} has fast int8 ({found})."
    return f"{cpu} has no fast int8 that is known ({found}): int8 makes the file smaller, hardly the time shorter."


def find(cpuinfo: str | None = None, machine: str | None = None) -> Instructions:
    """Read what this CPU has.

    Args:
        cpuinfo: the text of /proc/cpuinfo; None reads it.
        machine: the architecture; None is this one.
    """
    path = Path("/proc/cpuinfo")
    if cpuinfo is None:
        cpuinfo = path.read_text(errors="replace") if path.exists() else ""
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = set(lines[0].split()) if lines else set()
    machine = (machine or platform.machine()).lower()
    return Instructions(tuple(name for name in _KNOWN if name in flags), machine in _X86)
