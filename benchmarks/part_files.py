"""Where gpu.py writes: a JSON for each part, or one JSON for all of them, for machines that give few files back.

Either way a file is whole at any moment, and everything that a part has said so far is in it.
"""

from dataclasses import dataclass
from pathlib import Path

from debias_nb.core.files import read_json, write_json

ONE = "results.json"


@dataclass(frozen=True)
class Results:
    """What the parts say, by their names."""

    folder: Path
    one_file: bool = False  # all in one

    def _all(self) -> dict:
        return read_json(self.folder / ONE, dict) if (self.folder / ONE).is_file() else {}

    def put(self, name: str, found: dict):
        """Write what a part has said so far. One process writes at a time."""
        if self.one_file:
            write_json(self.folder / ONE, self._all() | {name: found})
        else:
            write_json(self.folder / f"{name}.json", found)

    def get(self, name: str) -> dict:
        """What a part said last."""
        return self._all()[name] if self.one_file else read_json(self.folder / f"{name}.json", dict)


def unpack(path: Path, folder: Path) -> list[str]:  # the names of the parts
    """Make a JSON for each part of the one for all."""
    found = read_json(path, dict)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in found.items():
        Results(folder).put(name, part)
    return list(found)
