"""Where the files lie that come with the kit: bases, recorded results, lessons."""

from pathlib import Path


def kit_path(*parts: str) -> Path:
    """A folder of the files that come with the kit: in a clone beside the package, in an installed wheel inside it."""
    package = Path(__file__).parent
    inside = package / "_share"
    return (inside if inside.is_dir() else package.parent).joinpath(*parts)
