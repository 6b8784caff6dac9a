"""Hands setuptools the metadata in settings.ini (pyproject.toml lists these fields as dynamic)."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read(root / "settings.ini", encoding="utf-8")
cfg, extras = ini["package"], ini["extras"]
lines = lambda s: [line.strip() for line in s.splitlines() if line.strip()]
version = re.search(r'__version__ = "([^"]+)"', (root / cfg["name"] / "__init__.py").read_text(encoding="utf-8"))[1]

setup(
    version=version,
    author=cfg["author"],
    license_expression=cfg["license"],
    keywords=cfg["keywords"].split(),
    classifiers=lines(cfg["classifiers"]),
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    install_requires=lines(cfg["requirements"]),
    extras_require={k: lines(v) for k, v in extras.items()},
    entry_points={"console_scripts": lines(cfg["console_scripts"])},
    packages=find_packages(include=[cfg["name"], f"{cfg['name']}.*"]),
    package_data={cfg["name"]: lines(cfg["package_data"])},
)
