"""Which instructions a CPU has for int8, from the text of Linux, and what is said of them."""

from __future__ import annotations

import pytest

from ofb_ray.export.int8.instructions import Instructions, find, sentence

VNNI = "processor\t: 0\nmodel name\t: a CPU\nflags\t\t: fpu sse2 avx2 avx512f avx512_vnni avx_vnni\n"
AVX2 = "flags\t\t: fpu sse2 avx avx2 fma\n"
ARM = "BogoMIPS\t: 243.75\nFeatures\t: fp asimd asimddp i8mm\n"


@pytest.mark.parametrize(
    ("text", "machine", "names", "fast", "saturates"),
    [
        (VNNI, "x86_64", ("avx2", "avx512_vnni", "avx_vnni"), True, False),
        (VNNI + "\nprocessor : 1\n" + AVX2, "x86_64", ("avx2", "avx512_vnni", "avx_vnni"), True, False),
        (AVX2, "x86_64", ("avx2",), False, True),
        (AVX2.replace("avx2", "avx2 amx_int8"), "AMD64", ("avx2", "amx_int8"), True, False),
        (ARM, "aarch64", ("asimddp", "i8mm"), True, False),
        (ARM.replace("asimddp i8mm", ""), "aarch64", (), False, False),
        ("", "x86_64", (), False, True),
        ("", "arm64", (), False, False),
    ],
    ids=["vnni", "two processors", "avx2 alone", "amx", "arm", "older arm", "x86 that does not say", "a Mac"],
)
def test_instructions_are_found(text: str, machine: str, names: tuple[str, ...], fast: bool, saturates: bool) -> None:
    found = find(text, machine)
    assert (found.names, found.fast, found.saturates) == (names, fast, saturates)


def told(cpu: Instructions) -> str:
    return sentence(cpu.names, cpu.fast)


def test_a_cpu_without_fast_int8_is_told_what_it_has() -> None:
    assert told(find(AVX2, "x86_64")).startswith("This CPU has no fast int8 that is known (found avx2)")
    assert "found none" in told(find("", "arm64"))
    assert told(find(VNNI, "x86_64")) == "This CPU has fast int8 (found avx2, avx512_vnni, avx_vnni)."
    assert find().names == find().names  # this machine, whatever it is
