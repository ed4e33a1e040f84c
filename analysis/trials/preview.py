"""Read the previews of sweeps: subnets that `ofb-ray preview` made of the dense network without any training."""

from __future__ import annotations

import json

from analysis.trials.cache import cached
from analysis.trials.compare import data_of, spec_value
from analysis.trials.read import read
from analysis.trials.trial import Results, Trial
from ofb_ray.errors import InputError
from ofb_ray.results.files import PREVIEW_FOLDER
from ofb_ray.results.records import Record


@cached
def previews(results: Results) -> tuple[tuple[Trial, ...], ...]:
    """List for each results folder with a preview the preview's finished trials.

    Those whose dense network is none of the sweep's are left out; all are where the trials do not compare.
    """
    if results.mixed:
        return ()
    known = {_dense(trial.record) for trial in results.trials if trial.record}
    found = []
    for folder in results.folders:
        path = folder / PREVIEW_FOLDER
        try:
            trials = read([path]).by_status("finished") if path.is_dir() else []
        except InputError:  # another folder of that name
            continue
        found.append(tuple(t for t in trials if t.record and (not known or _dense(t.record) in known)))
    return tuple(trials for trials in found if trials)


def _dense(record: Record) -> str:
    """What the dense network was made of, as text that can be compared."""
    return json.dumps([data_of(record), *(spec_value(record, part) for part in ("model", "dense"))], sort_keys=True)
