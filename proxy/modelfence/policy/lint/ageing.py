"""Rules that have been in shadow for longer than it takes to look at them."""

from datetime import date, timedelta

from modelfence.core.dates import date_of
from modelfence.policy.lint.subjects import Notes, Subjects

MAX_SHADOW_DAYS = 30


def warn_of_long_shadows(subjects: Subjects, today: date, notes: Notes) -> None:
    """Warn of what is in shadow for more than `MAX_SHADOW_DAYS`, and of a beginning that is still to come."""
    for subject in subjects.rules:
        node = subject.written.keys.get("since")
        since_us = node.date_us() if node else None
        if node is None or since_us is None:
            continue
        since = date.fromisoformat(date_of(since_us))
        days = (today - since) // timedelta(days=1)
        if days > MAX_SHADOW_DAYS:
            words = f"`{subject.rule.id}` has been in shadow for {days:,} days, more than {MAX_SHADOW_DAYS}"
            notes.at(node, "long-in-shadow", words, "enforce it, or take it out")
        elif days < 0:
            notes.at(node, "future-date", f"{since} is still to come: today is {today}")
