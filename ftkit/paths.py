"""The paths of the files that come with the kit: bases, recorded runs, lessons."""

from pathlib import Path


def kit_path(*parts: str) -> Path:
    """The path of a file that comes with the kit, such as `kit_path("data", "bases")`.

    In a clone the files are next to the package, in an installed wheel inside it.
    """
    package = Path(__file__).parent
    inside = package / "_share"
    return (inside if inside.is_dir() else package.parent).joinpath(*parts)
