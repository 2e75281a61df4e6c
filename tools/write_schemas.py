"""Write policies/schemas/, by which editors check the files people write, from the tables their readers check by.

Usage: python tools/write_schemas.py (a test fails when a committed file is not what this writes)
"""

import json
from collections.abc import Mapping
from pathlib import Path

from modelfence.workbench.schema import KINDS, schema_of

FOLDER = Path(__file__).parent.parent / "policies" / "schemas"


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text)


def files() -> Mapping[Path, str]:
    """Return what each file holds."""
    return {FOLDER / f"{kind}.json": json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n" for kind in KINDS}


if __name__ == "__main__":
    main()
