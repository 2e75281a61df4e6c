"""What a realtime session is set to, as far as that is certain.

After OpenAI's API reference, "Realtime": `session.update` is answered by `session.updated`, which tells all settings,
or by an error, after which nothing is changed. Rule: doubt counts against the caller. A setting that was asked for may
hold from then on, and the one before it until the API has said that it does not.

Why so: an update with one field that the API refuses would else lower, in the fence's eyes only, the limit of answers
or the price of the model.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from modelfence.core.dialect import MalformedRequestError

MOST_UPDATES = 64
"""That the API has not answered."""
LIMITS = ("max_output_tokens", "max_response_output_tokens")
_DATE = re.compile(r"(?:-\d{4}-?\d{2}-?\d{2})?", re.ASCII)
"""What the API may add to the name of a model."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What answers are made with, unless they are asked for otherwise."""

    model: str | None
    """None where it is not certain."""
    limit: int | None = None
    """The most tokens of an answer; None where there is no limit."""
    tools: int = 0


class SettingsOfSession:
    """The settings that the API has told, and those it was asked for and has not answered."""

    def __init__(self, model: str) -> None:
        self._told = Settings(model)
        self._asked: deque[Settings] = deque()

    @property
    def last_asked(self) -> Settings:
        """Return what holds if all that was asked for is granted."""
        return self._asked[-1] if self._asked else self._told

    @property
    def possible(self) -> Settings:
        """Return what may hold: the largest limit, the most tools, and the model where it is only one."""
        every = (self._told, *self._asked)
        limits = [one.limit for one in every if one.limit is not None]
        return Settings(
            model=self._told.model if len({one.model for one in every}) == 1 else None,
            limit=max(limits) if len(limits) == len(every) else None,
            tools=max(one.tools for one in every),
        )

    def ask(self, settings: Settings) -> None:
        """Remember that these were asked for. Raises MalformedRequestError when too much is not answered."""
        if len(self._asked) == MOST_UPDATES:
            raise MalformedRequestError(
                "Too many updates of this session were refused, or are not answered.", status=429
            )
        self._asked.append(settings)

    def granted(self, session: Mapping[str, object]) -> None:
        """Take what the API says it has set; each answer is to one update."""
        asked = self._asked.popleft() if self._asked else self._told
        model, tools = asked.model, session.get("tools")
        limits = [limit for name in LIMITS if (limit := session.get(name)) is not None]
        told = [limit for limit in limits if isinstance(limit, int) and not isinstance(limit, bool)]
        if model != self._told.model:
            known = (self._told.model, model)
            model = next((one for one in known if one is not None and _is(session.get("model"), one)), None)
        self._told = Settings(
            model,
            limit=max(told) if told and len(told) == len(limits) else None,
            tools=len(tools) if isinstance(tools, list) else max(self._told.tools, asked.tools),
        )


def _is(told: object, model: str) -> bool:
    """Say whether the API's name of a model is this one, of which the caller may have left out the date."""
    return isinstance(told, str) and told.startswith(model) and _DATE.fullmatch(told, len(model)) is not None
