"""`arch.json`: how to build a subnet. It may come from anybody, and it names code to call, so it is checked first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ofb_ray.config import Json, check_arguments
from ofb_ray.results.files import ARCH_FILE, check_model, read_model

FORMAT = 1
_Count = Annotated[int, Field(ge=0, le=1 << 20)]


class Size(BaseModel):
    """The size of an axis: so many heads (1 where it has none), so many units in each."""

    model_config = ConfigDict(extra="forbid")
    heads: _Count
    width: _Count


class TimmModel(BaseModel):
    """A timm model: its name and its constructor's arguments."""

    model_config = ConfigDict(extra="forbid")
    name: str
    args: Json = {}

    @model_validator(mode="after")
    def _builds_only(self) -> TimmModel:
        check_arguments(self.name, self.args)
        return self


_Channels = Annotated[list[float], Field(min_length=1, max_length=1 << 10)]


class Prepared(BaseModel):
    """How images were prepared, in the words of timm's data configurations."""

    model_config = ConfigDict(extra="forbid")
    input_size: Annotated[list[Annotated[int, Field(ge=1, le=1 << 14)]], Field(min_length=3, max_length=3)]
    mean: _Channels
    std: _Channels
    interpolation: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]
    crop_pct: Annotated[float, Field(gt=0, le=1)]


class ArchFile(BaseModel):
    """The architecture of a subnet, as `arch.json` and records hold it."""

    format: int = Field(ge=FORMAT, le=FORMAT)
    model: TimmModel
    widths: dict[str, Size]
    input: Prepared | None = None
    attributes: dict[str, dict[str, bool | int | float | list[Any]]] = {}

    @model_validator(mode="after")
    def _says_the_image(self) -> ArchFile:
        if not isinstance(self.model.args.get("img_size"), int):
            raise ValueError("model.args.img_size: side of the images in pixels is required")
        return self


def check_arch(tree: Json, file: str) -> Json:
    """Return the architecture that a record holds if it can be built from.

    Raises:
        BrokenFileError: it names what must not be built, or is none; names the key.
    """
    return check_model(ArchFile, tree, file).model_dump(exclude_unset=True)


def read_arch(folder: Path) -> Json:
    """Read the architecture of a folder.

    Raises:
        FileNotFoundError: there is none.
        BrokenFileError: it is torn, of another format, or names what must not be built; names the key.
    """
    path = folder / ARCH_FILE
    arch = read_model(ArchFile, path)
    if arch is None:
        raise FileNotFoundError(f"{path} is missing: give the folder of an exported or finished trial")
    return arch.model_dump(exclude_unset=True)
