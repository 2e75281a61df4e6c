import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace
from inspect import signature

import pytest

from modelfence.core.quick import quick


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    size: int = 3
    note: str = field(default="", repr=False, compare=False)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    name: str
    size: int = 3
    note: str = field(default="", repr=False, compare=False)


def test_a_quick_class_is_called_as_it_was() -> None:
    assert str(signature(Quick)) == str(signature(Plain))
    made = Quick("a", note="b")
    assert (made.name, made.size, made.note) == ("a", 3, "b")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        Quick("a", colour="red")  # type: ignore[call-arg]


def test_a_quick_value_is_frozen() -> None:
    made = Quick("a")
    with pytest.raises(FrozenInstanceError):
        made.size = 4  # type: ignore[misc]
    assert made.size == 3
    assert not hasattr(made, "__dict__")


def test_a_quick_value_is_compared_hashed_shown_and_copied_as_it_was() -> None:
    made = Quick("a", 4, "b")
    assert made == Quick("a", 4, "c") != Quick("a", 5)
    assert hash(made) == hash(Plain("a", 4, "c"))
    assert repr(made) == "Quick(name='a', size=4)"
    assert replace(made, size=5) == Quick("a", 5)
    assert copy.deepcopy(made).note == pickle.loads(pickle.dumps(made)).note == "b"


def test_a_class_whose_fields_take_more_than_filling_in_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Made:
        names: dict[str, int] = field(default_factory=dict)

    with pytest.raises(TypeError, match="Made has fields that take more than filling in"):
        quick(Made)
