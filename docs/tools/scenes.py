"""Draw the first training scenes into `docs/scenes.png`, a pixel five wide: `python -m docs.tools.scenes`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from ofb_ray.data import scenes
from ofb_ray.data.digits import bundled

PICTURE = Path(__file__).parent.parent / "scenes.png"
ROWS, COLUMNS, ZOOM = 3, 10, 5


def main() -> int:
    """Write the picture; a column holds scenes of one class, 0 to 9."""
    images, labels = bundled()
    index = scenes.split_digits(labels, 0.15).train
    drawn = scenes.compose(scenes.Part(images[index], labels[index]), ROWS * COLUMNS, scenes.SEED).images[:, 0].numpy()
    framed = np.pad(drawn, ((0, 0), (1, 1), (1, 1)), constant_values=255)
    side = framed.shape[1]
    sheet = framed.reshape(ROWS, COLUMNS, side, side).swapaxes(1, 2).reshape(ROWS * side, COLUMNS * side)
    picture = Image.fromarray(sheet).resize((COLUMNS * side * ZOOM, ROWS * side * ZOOM), Image.Resampling.NEAREST)
    picture.save(PICTURE, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
