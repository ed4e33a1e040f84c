"""The page of `ofb-ray status`: in each state it says what a reader must know, in few columns, without broken words."""

from __future__ import annotations

import re

import pytest

from docs.tools.status_states import STATES, page, said

ESSENTIAL = {
    "Never started": ["no such folder", "`ofb-ray sweep` starts a sweep"],
    "Running here": [
        "running on this machine (process 4711) since",
        "epoch 12 of 30, 52 % of the trial, about 19 min left",
        "silent for 7 min",
        "its log ends: epoch 3 of 20: loss 0.41",
    ],
    "Running elsewhere": ["running on node-7 (process 4711) since", "for 2 h", "about 86 min left"],
    "Killed": ["driver: none", "was killed", "was at: search, epoch 12 of 30", "to go on:", "--name photos --resume"],
    "Finished": ["driver: none, all is done", "4 of 4 done", "ofb-ray report results/photos"],
    "Failed": ["failed: the loss became NaN in epoch 4", "its log ends: FloatingPointError", "--retry-failed"],
    "Waiting for a store": ["node-7", "the store has not heard of it for 15 min", "or waits for the store"],
    "A chain": ["goes on from trial 0", "epoch 2 of 30"],
    "Promotion": ["promotes trial 2", "epoch 25 of 50"],
    "Another folder": ["no results folder (it has no sweep.yaml)"],
}


def test_there_are_ten_states_and_the_page_shows_what_is_printed_in_each() -> None:
    assert list(STATES) == list(ESSENTIAL)
    assert len(STATES) == 10
    assert all(f"## {state}\n\n```text\n{said(state)}\n```" in page() for state in STATES)


@pytest.mark.parametrize("state", STATES)
def test_each_state_says_what_matters(state: str) -> None:
    text = " ".join(said(state).split())
    assert [words for words in ESSENTIAL[state] if words not in text] == []


@pytest.mark.parametrize("width", [80, 60, 40])
@pytest.mark.parametrize("state", [state for state, (make, _) in STATES.items() if make])
def test_lines_are_no_wider_than_the_terminal_and_words_stay_whole(state: str, width: int) -> None:
    lines = said(state, width).splitlines()
    commands = [line for line in lines if line.startswith("  ofb-ray ")]
    assert max(len(line) for line in lines if line not in commands) <= width
    assert not [line for line in lines if re.search(r"\d{4}-\d\d-\d\d$", line)]  # without its time of day
    wide, narrow = ({word for line in said(state, each).splitlines() for word in line.split()} for each in (200, width))
    budgets = {"budget", "epochs", "best", "top-1", "val", "done", "wait", "finetune", "search", "failed"}
    broken = {word for word in narrow - wide if not any(mark in word for mark in ":;,/") and word not in budgets}
    assert broken <= {"waiting", "finished", "dense", "epochs"}, broken
