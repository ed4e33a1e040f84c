"""The completion script, sourced by a real bash, completes commands, options, choices, shipped sweeps and files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ofb_ray.cli import main
from ofb_ray.config.shipped import shipped_sweeps

ASK = """\
eval "$(cat script)"
complete -p ofb-ray
while read -ra COMP_WORDS; do
    [ "${COMP_WORDS[-1]}" = TAB ] && COMP_WORDS[-1]=""
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _shtab_ofb_ray ofb-ray "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
done
"""


def complete(folder: Path, capsys: pytest.CaptureFixture[str], *lines: str) -> list[list[str]]:
    """What a bash in `folder` offers after each of the lines; its last word is being typed, TAB being an empty one."""
    assert main(["completion", "bash"]) == 0
    (folder / "script").write_text(capsys.readouterr().out)
    ask = "".join(f"{line}\n" for line in lines)
    shell = ["bash", "--norc", "-c", ASK]
    done = subprocess.run(shell, input=ask, cwd=folder, capture_output=True, text=True, check=True)
    registered, *offers = done.stdout.splitlines()
    assert registered.endswith("-F _shtab_ofb_ray ofb-ray")
    return [sorted(offer.split()) for offer in offers]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "results").mkdir()
    offers = {
        "ofb-ray sw": ["sweep", "sweeps"],
        "ofb-ray sweep di": ["digits"],
        "ofb-ray sweep paper/m": ["paper/main_digits"],
        "ofb-ray trial m": ["mine.yaml"],
        "ofb-ray sweep TAB": sorted([*shipped_sweeps(), "mine.yaml", "results"]),
        "ofb-ray sweeps TAB": sorted(shipped_sweeps()),
        "ofb-ray sweep digits --re": ["--resume", "--retry-failed"],
        "ofb-ray status re": ["results"],
        "ofb-ray export --to re": ["results"],
        "ofb-ray latency --backend t": ["torch"],
        "ofb-ray completion TAB": ["bash", "zsh"],
    }
    assert complete(tmp_path, capsys, *offers) == list(offers.values())


def test_zsh_gets_a_script_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("#compdef ofb-ray")
    assert "compadd" in out
    assert all(name in out for name in shipped_sweeps())


def test_the_help_says_how_to_turn_it_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert 'eval "$(ofb-ray completion bash)"' in " ".join(capsys.readouterr().out.split())
