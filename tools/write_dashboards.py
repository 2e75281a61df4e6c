"""Write the dashboards in grafana/dashboards/ from the code that makes them: `make dashboards`."""

import json
from collections.abc import Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from tools.dashboards.campaigns import campaigns
from tools.dashboards.health import health
from tools.dashboards.overview import overview

FOLDER = Path(__file__).parent.parent / "grafana" / "dashboards"


def files() -> Mapping[str, str]:
    """Return the text of each file by its name."""
    boards = {"overview": overview(), "campaigns": campaigns(), "health": health()}
    return {f"{name}.json": json.dumps(it, cls=JSONEncoder, indent=2) + "\n" for name, it in boards.items()}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
