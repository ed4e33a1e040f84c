"""One thread for every test: small networks gain nothing from more, and lose much where cores are shared."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
