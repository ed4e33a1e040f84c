"""A look at images within seconds: what cannot be read is found, counted and told before a trial meets it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ofb_ray.config import DataSpec
from ofb_ray.data import folder, load
from ofb_ray.data.image_source import Unreadable
from ofb_ray.data.survey import faults, survey
from ofb_ray.errors import InputError
from tests.data.making import make_folder


def spec_of(root: Path, **keys: float) -> DataSpec:
    return DataSpec.model_validate({"name": "folder", "root": str(root), "image_size": 16, **keys})


def lines(root: Path, **keys: float) -> list[str]:
    spec = spec_of(root, **keys)
    return faults(folder.find(spec), spec, 10.0)


def cut(path: Path) -> Path:
    """Keep the header and the first pixels of an image."""
    path.write_bytes(path.read_bytes()[:-30])
    return path


def test_without_time_one_image_is_decoded_and_one_header_read(tmp_path: Path) -> None:
    found = folder.find(spec_of(make_folder(tmp_path))).train
    assert (survey(found, 0.0).decoded, survey(found, 0.0).opened) == (1, 1)
    whole = survey(found, 10.0)
    assert (whole.images, whole.decoded, whole.opened, whole.share, len(whole.sizes)) == (20, 20, 0, 0.0, 20)


def test_headers_tell_what_no_time_was_left_to_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes with what is decoded: ten images, then the headers of the others."""
    root = make_folder(tmp_path)
    for path in (root / "train").rglob("*.png"):
        path.write_text("no image")
    now = [0.0]

    def slow(*_: object) -> None:
        now[0] += 1.0
        raise Unreadable

    monkeypatch.setattr("ofb_ray.data.survey.time.monotonic", lambda: now[0])
    monkeypatch.setattr("ofb_ray.data.survey.decode", slow)
    seen = survey(folder.find(spec_of(root)).train, 9.5)
    assert (seen.decoded, seen.opened, seen.sampled, len(seen.broken)) == (10, 10, 10, 20)


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_what_is_refused_is_told_with_the_share_that_is_not(tmp_path: Path, ending: str) -> None:
    root = make_folder(tmp_path, ending=ending)
    name = cut(root / f"train/blue/003.{ending}").name
    (told,) = lines(root)
    fate = "0 may be, so trials will end at them: "
    assert re.match(rf"1 of 20 train images cannot be read: \S+/blue/{name}; {fate}", told)
    share = float(told.rpartition("data.unreadable=")[2])
    with pytest.raises(InputError, match="1 of 20 train images cannot be read, 0 may be"):
        load(spec_of(root))
    (told,) = lines(root, unreadable=share)
    assert told.endswith("they are skipped, as data.unreadable allows 2")
    assert len(load(spec_of(root, unreadable=share)).unreadable) == 1


def test_a_refusal_names_the_least_share_that_serves(tmp_path: Path) -> None:
    root = make_folder(tmp_path, train=15)
    cut(root / "train/red/003.png")
    with pytest.raises(InputError, match=r"mend or delete them, or set it to 0\.034 or more") as error:
        load(spec_of(root))
    load(spec_of(root, unreadable=float(str(error.value).split()[-3])))


def test_each_part_and_a_class_without_a_readable_image_are_told(tmp_path: Path) -> None:
    root = make_folder(tmp_path, train=3)
    for path in (root / "val/red").iterdir():
        path.write_text("no image")
    first, second = lines(root, unreadable=0.9)
    assert first.startswith("3 of 6 test images cannot be read: ")
    assert second == "no test image of class 'red' can be read: replace them, or remove the class"
    assert lines(root, unreadable=0.9, test_limit=2)[0].startswith("1 of 2 test images cannot be read: ")


def test_more_than_was_found_is_expected_of_what_was_not_looked_at(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for path in (root / "train").rglob("*.png"):
        cut(path)
    spec = spec_of(root, unreadable=0.1)
    told = faults(folder.find(spec), spec, 0.0)[0]
    assert "1 of 20 train images cannot be read (1 decoded, 1 more opened): " in told
    assert "; 2 may be, and there are likely more, which would end trials: " in told
