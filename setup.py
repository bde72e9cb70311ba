"""The packages of the wheel: those of `tltf/`, and `tltf.configs`, which is the folder `configs/`.

Everything else stands in setup.cfg, which cannot name a package beside those that it finds.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["tltf*"]), "tltf.configs"])
