"""Small geo databases for tests."""

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write_database(path: Path, database_type: str, records: dict[str, Any], *, ip_version: int = 6) -> None:
    """Write a database of networks and their records."""
    writer = MMDBWriter(ip_version, database_type, ipv4_compatible=ip_version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
