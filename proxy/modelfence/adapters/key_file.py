"""A file that holds a secret key: its bytes, without the blanks around them."""

from pathlib import Path

LEAST_KEY_BYTES = 16


class KeyFileError(Exception):
    """There is no key to be had. The text says why, and what to do."""


def read_key(path: Path) -> bytes:
    """Return the key in a file. Raises KeyFileError."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise KeyFileError(f"the key file {path} can't be read: {error.strerror}") from None
    if len(key) < LEAST_KEY_BYTES:
        hint = f"make one with: openssl rand -hex 32 > {path}"
        raise KeyFileError(f"the key in {path} is shorter than {LEAST_KEY_BYTES} bytes; {hint}")
    return key
