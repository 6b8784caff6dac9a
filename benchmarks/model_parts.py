"""A large file in parts that pass where the whole does not, and the whole again, with its checksum.

    python benchmarks/model_parts.py split models/model.gguf --mib 47 --out parts
    python benchmarks/model_parts.py join parts --out models/model.gguf

The parts are named after the file, with .part0 and so on; `parts.json` beside them holds the SHA-256 of each and of the
whole. `join` refuses missing, foreign or damaged parts by name and writes the file whole or not at all.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from debias_nb.core.errors import DebiasError, ModelError
from debias_nb.core.files import atomic_path, read_json, write_json

PLAN = "parts.json"


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split(path: Path, folder: Path, mib: float) -> dict:  # what `parts.json` says
    """Cut a file into parts of at most `mib` MiB."""
    size, parts = int(mib * 2**20), []
    folder.mkdir(parents=True, exist_ok=True)
    with open(path, "rb") as source:
        while block := source.read(size):
            name = f"{path.name}.part{len(parts)}"
            with atomic_path(folder / name) as partial:
                Path(partial).write_bytes(block)
            parts.append(dict(name=name, sha256=hashlib.sha256(block).hexdigest()))
    plan = dict(file=path.name, size=path.stat().st_size, sha256=digest_of(path), parts=parts)
    write_json(folder / PLAN, plan)
    return plan


def join(folder: Path, out: Path) -> Path:
    """Put the parts together again."""
    if not (folder / PLAN).is_file():
        raise ModelError(f"{folder} holds no {PLAN}. Bring it together with the parts")
    plan = read_json(folder / PLAN, dict)
    for part in plan["parts"]:
        path = folder / part["name"]
        if not path.is_file():
            raise ModelError(f"{folder} lacks {part['name']}. Bring all {len(plan['parts'])} parts")
        if digest_of(path) != part["sha256"]:
            raise ModelError(f"{path} is damaged (another SHA-256 than {PLAN} says). Bring it again")
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as partial:
        with open(partial, "wb") as target:
            for part in plan["parts"]:
                target.write((folder / part["name"]).read_bytes())
        if digest_of(Path(partial)) != plan["sha256"]:
            raise ModelError(f"the parts in {folder} do not make {plan['file']}. Split it again")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("what", choices=("split", "join"))
    p.add_argument("path", type=Path, help="the file, or the folder of its parts")
    p.add_argument("--out", type=Path, required=True, help="the folder of the parts, or the file")
    p.add_argument("--mib", type=float, default=47, help="size of a part")
    a = p.parse_args()
    try:
        if a.what == "split":
            plan = split(a.path, a.out, a.mib)
            print(f"{a.out}: {len(plan['parts'])} parts, SHA-256 {plan['sha256'][:12]}")
        else:
            print(join(a.path, a.out))
    except (DebiasError, OSError) as error:
        sys.exit(f"model_parts: {error}")


if __name__ == "__main__":
    main()
