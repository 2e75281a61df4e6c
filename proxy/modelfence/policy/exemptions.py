"""The templates that a policy exempts from being a cohort's, by their fingerprints."""

from collections.abc import Sequence

from modelfence.core.extraction import TEMPLATE_FINGERPRINT
from modelfence.document import Node
from modelfence.policy.files import PolicyFile
from modelfence.policy.keys import EXTRACTION_KEYS, names


def exempted_by(file: PolicyFile) -> Sequence[str]:
    """Return the fingerprints that a file exempts, without those that are not written as one."""
    section = file.entries.get("extraction")
    if section is None or section.is_null:
        return ()
    exempt = section.entries(names(EXTRACTION_KEYS)).get("exempt")
    if exempt is None or exempt.is_null:
        return ()
    return [text for item in exempt.items() if (text := _fingerprint(item)) is not None]


def _fingerprint(item: Node) -> str | None:
    text = item.filled_text()
    if text is None or TEMPLATE_FINGERPRINT.fullmatch(text):
        return text
    item.problem(
        "bad-fingerprint", "a fingerprint has 64 of the digits 0-9 and a-f, as `modelfence extraction` prints it"
    )
    return None
