"""Lay out a CUDA toolkit from an installed one, from the `nvidia-*` packages, or from both.

The packages put everything in `nvidia/cu13/{bin,include,nvvm,lib}` and name libraries
`libX.so.13` only; nvcc looks in `lib64` and CMake for `libX.so`. A folder of symbolic links has the
layout that both expect. A compiler among the packages counts before an installed one, so that two
releases are never mixed.

Usage: stage_cuda.py DESTINATION [TOOLKIT]; prints DESTINATION if it holds a compiler.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = {"bin": "bin", "include": "include", "nvvm": "nvvm", "lib": "lib64", "lib64": "lib64"}


def package_roots() -> Iterator[Path]:
    """Folders of this Python's packages that are laid out like a toolkit."""
    spec = importlib.util.find_spec("nvidia")
    for location in (spec and spec.submodule_search_locations) or ():
        root = Path(location) / "cu13"
        if root.is_dir():
            yield root


def link(source: Path, target: Path) -> None:
    """Make `target` a link to `source`, replacing an older one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source)


def stage(root: Path, destination: Path) -> None:
    """Link everything of the toolkit `root` into `destination`."""
    for name, staged in FOLDERS.items():
        if (root / name).is_symlink() and name == "lib":
            continue  # lib -> lib64 of an installed toolkit
        for path in (root / name).glob("*"):
            link(path, destination / staged / path.name)
            stem, dot, _ = path.name.partition(".so.")
            plain = destination / staged / f"{stem}.so"
            if dot and not plain.is_symlink():
                link(path, plain)


def main() -> None:
    """Stage what there is."""
    destination = Path(sys.argv[1])
    roots = list(package_roots())
    if len(sys.argv) > 2 and not any((root / "bin" / "nvcc").exists() for root in roots):
        roots.insert(0, Path(sys.argv[2]))
    for root in roots:
        stage(root, destination)
    if (destination / "bin" / "nvcc").exists():
        link(Path("lib64"), destination / "lib")
        print(destination)


if __name__ == "__main__":
    main()
