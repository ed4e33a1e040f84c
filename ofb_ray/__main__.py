"""`python -m ofb_ray` is the command line `ofb-ray`."""

from ofb_ray.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
