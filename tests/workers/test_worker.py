"""A worker looks for garbage seldom: what was loaded is not looked at again."""

import gc

import pytest

from modelfence.workers.worker import COLLECT_AFTER, _collect_seldom


@pytest.fixture
def as_before():
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("as_before")
def test_what_was_loaded_is_not_looked_through_for_garbage_again():
    _collect_seldom()
    assert gc.get_threshold()[0] == COLLECT_AFTER
    assert gc.get_freeze_count() > 10_000
