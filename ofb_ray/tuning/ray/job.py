"""What travels through Ray: one trial, and all that a process needs to run it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from ofb_ray.config import GateSpec, Json
from ofb_ray.config.modules import importable_folders
from ofb_ray.results.files import TrialFile, trial_folder
from ofb_ray.results.locations import local_copy


@dataclass(frozen=True)
class Job:
    """Carry one trial from the driver to the processes that run it.

    Args:
        trial: its trial.json.
        results: the driver's results folder; where `uri` is given it is only the driver's copy of that.
        uri: of the store that holds the results, if one does.
        function: the trial function as `package.module:name`, with the signature of `run_trial`.
        here: the driver's working folder, where relative paths of the sweep file start.
        workers: processes of the trial; cpus, gpus: of each of them.
        silent_minutes: minutes without a report after which a process ends itself; None: never.
        keep_search: keep what the search finds, for trials that are promoted or go on from it.
        gate: the early stop of the sweep, if it has one.
        modules: folders in which the driver has found modules of the user's, that of the sweep file among them.
    """

    trial: TrialFile
    results: Path
    uri: str | None
    function: str
    here: str
    workers: int
    cpus: float
    gpus: float
    silent_minutes: float | None
    keep_search: bool
    gate: GateSpec | None
    modules: tuple[str, ...] = field(default_factory=importable_folders)

    @property
    def number(self) -> int:
        """The trial's number in its sweep."""
        return self.trial.trial

    @property
    def results_here(self) -> Path:
        """The results folder on this node: a store's has a copy of its own on each."""
        return local_copy(self.uri) if self.uri else self.results

    @property
    def folder(self) -> Path:
        """The trial's folder on this node."""
        return trial_folder(self.results_here, self.number)

    def config(self) -> Json:
        """Return the plain mapping that Ray Tune takes as a trial's config."""
        plain: Json = {each.name: getattr(self, each.name) for each in fields(self)}
        plain |= {"trial": self.trial.model_dump(exclude_unset=True), "results": str(self.results)}
        return plain | {"gate": self.gate.model_dump() if self.gate else None, "modules": list(self.modules)}

    @classmethod
    def of(cls, config: Json) -> Job:
        """Read a job back from the config that Ray Tune hands on."""
        gate, modules = config["gate"], tuple(config["modules"])
        typed = {"trial": TrialFile.model_validate(config["trial"]), "results": Path(config["results"])}
        typed |= {"gate": gate and GateSpec.model_validate(gate), "modules": modules}
        return cls(**{**config, **typed})


def number_in(config: Json) -> int:
    """Return the trial's number in the config of a job."""
    return int(config["trial"]["trial"])
