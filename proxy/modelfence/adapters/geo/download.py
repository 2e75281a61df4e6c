"""Databases from MaxMind, by its documented interface (dev.maxmind.com/geoip/updating-databases, "direct downloads").

`GET /geoip/databases/EDITION/download?suffix=tar.gz` with basic authentication is answered with a redirection to a
storage of another host, and the same with `suffix=tar.gz.sha256` with the checksum. The archive holds a folder with one
`.mmdb` file and texts.

Rule: what is in place is replaced by a whole database of the right kind, in one step, or not at all. The account's key
goes to the host that was named, and to no other it redirects to.
"""

import base64
import gzip
import hashlib
import http.client
import math
import os
import re
import shutil
import stat
import tarfile
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate, mktime_tz, parsedate_tz
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import maxminddb

from modelfence.adapters.geo.databases import GeoDatabaseError, open_database

MAX_BYTES = 2 << 30
"""Of an archive, and of the database in it. The largest that MaxMind publishes have some hundred megabytes."""
DEADLINE_S = 900.0
"""For one archive. Each wait for the network is bounded by `_WAIT_S` besides."""
_WAIT_S = 30.0
_CHUNK = 1 << 16
_MAX_CHECKSUM_BYTES = 1_024
_MAX_MEMBERS = 100
_NOT_MODIFIED = 304
_TLS = "https"


class DownloadError(Exception):
    """A database could not be had; what was in place still is. The text is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Where databases come from, and as whom."""

    url: str
    account: str
    license_key: str = field(repr=False)
    deadline_s: float = DEADLINE_S
    max_bytes: int = MAX_BYTES


def renew(name: str, edition: str, path: Path, publisher: Publisher) -> bool:
    """Replace the database at a path by the edition's latest; False when that is the one in place.

    `name` is its kind: country, asn or anonymous. Raises DownloadError.
    """
    target = Path(os.path.realpath(path))
    try:
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            archive, database = Path(folder) / "archive", Path(folder) / "database.mmdb"
            modified_s = _download(edition, archive, target, publisher)
            if modified_s is None:
                return False
            _extract(archive, database, publisher.max_bytes)
            open_database(name, database).reader.close()
            _put_in_place(database, target, modified_s)
    except GeoDatabaseError:
        raise DownloadError(f"{edition} is no database of the kind {name}, or a damaged one") from None
    except OSError as error:
        raise DownloadError(f"{target} can't be written: {error.strerror or error}") from None
    return True


def _download(edition: str, archive: Path, target: Path, publisher: Publisher) -> float | None:
    """Fetch and verify an archive. Return when it was last modified, or None when the target is as new."""
    since = formatdate(target.stat().st_mtime, usegmt=True) if _is_of(edition, target) else None
    digest = hashlib.sha256()
    with _answer(edition, "tar.gz", publisher, since=since) as answer:
        if answer is None:
            return None
        ends_at = time.monotonic() + publisher.deadline_s
        received = 0
        with archive.open("wb") as file:
            while chunk := answer.read1(_CHUNK):
                received += len(chunk)
                if received > publisher.max_bytes:
                    raise DownloadError(f"{edition} is larger than {publisher.max_bytes:,} bytes")
                if time.monotonic() > ends_at:
                    raise DownloadError(f"{edition} did not arrive within {publisher.deadline_s:g} s")
                digest.update(chunk)
                file.write(chunk)
        parsed = parsedate_tz(answer.headers.get("last-modified", ""))
        modified_s = mktime_tz(parsed) if parsed else math.inf
    with _answer(edition, "tar.gz.sha256", publisher) as answer:
        text = answer.read(_MAX_CHECKSUM_BYTES).decode("ascii", "replace") if answer else ""
    expected = re.match(r"[0-9a-f]{64}\b", text.lower())
    if expected is None or expected[0] != digest.hexdigest():
        raise DownloadError(f"{edition} arrived with another checksum than the published one; try again later")
    # A date to come would keep its successors away until then.
    return min(modified_s, time.time())


def _is_of(edition: str, target: Path) -> bool:
    """Say whether a whole database of the edition is in place."""
    try:
        with maxminddb.open_database(target) as reader:
            return reader.metadata().database_type == edition
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        return False


@contextmanager
def _answer(
    edition: str, suffix: str, publisher: Publisher, *, since: str | None = None
) -> Iterator[http.client.HTTPResponse | None]:
    """Ask for a file; None when it was not modified since then. Raises DownloadError."""
    host = urlsplit(publisher.url).netloc
    request = urllib.request.Request(  # noqa: S310 - the settings took care of its scheme
        f"{publisher.url}/geoip/databases/{edition}/download?suffix={suffix}", headers={"User-Agent": "modelfence"}
    )
    credentials = base64.b64encode(f"{publisher.account}:{publisher.license_key}".encode()).decode()
    # Redirected requests do not get it.
    request.add_unredirected_header("Authorization", f"Basic {credentials}")
    if since:
        request.add_header("If-Modified-Since", since)
    try:
        with urllib.request.build_opener(_SafeRedirects).open(request, timeout=_WAIT_S) as answer:
            yield answer
    except HTTPError as error:
        error.close()
        if error.code != _NOT_MODIFIED or not since:
            raise DownloadError(_refusal(error.code, host, edition)) from None
        yield None
    except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        words = "".join(c if c.isprintable() else "�" for c in str(reason)) or type(error).__name__
        raise DownloadError(f"{host} can't be reached, or fell silent: {words}") from None
    except ValueError:  # of a date, or of an address that it redirects to
        raise DownloadError(f"{host} gives an answer that makes no sense when asked for {edition}") from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from an encrypted connection to one that is not."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the library's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == _TLS and urlsplit(newurl).scheme != _TLS:
            raise URLError(f"{req.host} redirects to a connection that is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refusal(status: int, host: str, edition: str) -> str:
    match status:
        case 401:
            return f"{host} does not accept this account with this license key"
        case 403:
            return f"{host} does not let this account have {edition}"
        case 404:
            return f"{host} has no edition {edition}"
        case 429:
            return f"{host} counts too many downloads of this account today; try again tomorrow"
        case _:
            return f"{host} answers {status} when asked for {edition}"


def _extract(archive: Path, database: Path, max_bytes: int) -> None:
    """Copy the one database out of an archive, whatever it is called there. Raises DownloadError."""
    copied = False
    try:
        with tarfile.open(archive, "r:gz") as members:
            for number, member in enumerate(members):
                if member.size > max_bytes or number == _MAX_MEMBERS:
                    raise DownloadError("the archive holds more than a database and some texts")
                content = members.extractfile(member) if member.isfile() and member.name.endswith(".mmdb") else None
                if content is None:
                    continue
                if copied:
                    raise DownloadError("the archive holds more than one database")
                with database.open("xb") as file:
                    shutil.copyfileobj(content, file)
                copied = True
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
        raise DownloadError("what arrived is no archive, or a damaged one") from None
    if not copied:
        raise DownloadError("the archive holds no database")


def _put_in_place(database: Path, target: Path, modified_s: float) -> None:
    """Rename a file once it is on the disk, with the date by which its successor is asked for."""
    if target.exists():
        before = target.stat()
        with suppress(PermissionError):  # root alone gives files away, and must: who read the last one reads the next
            os.chown(database, before.st_uid, before.st_gid)
        database.chmod(stat.S_IMODE(before.st_mode))
    os.utime(database, (modified_s, modified_s))
    _sync(database)
    database.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
