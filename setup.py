"""Adds the shipped sweeps to the packages of pyproject.toml: inside of `ofb_ray` in a wheel, beside it here."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ofb_ray*", "analysis*"]), "ofb_ray.shipped"],
    package_dir={"ofb_ray.shipped": "sweeps"},
)
