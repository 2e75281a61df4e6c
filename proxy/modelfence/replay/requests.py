"""The lines of a recording as requests at their time. What is read in a line is the same for every policy."""

from dataclasses import dataclass, replace

from modelfence.core.call import Call, Reading
from modelfence.core.dialect import Dialect, MalformedRequestError
from modelfence.core.quick import quick
from modelfence.recording.fields import BrokenLineError
from modelfence.recording.lines import Line, read_line
from modelfence.recording.reading import CallReader
from modelfence.replay.clock import VirtualClock
from modelfence.replay.outcomes import Broken, Rejected

TOO_LONG = "it is longer than a line may be"


@quick
@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is to be judged, at the time of its call."""

    n: int
    line: Line
    call: Call
    is_late: bool = False
    """It stands in the recording after one with a later time, which is the time it is judged at."""


class Requests:
    """Reads the lines of one recording in turn, once for all fences that judge them, and sets their clock."""

    def __init__(self, reader: CallReader, clock: VirtualClock) -> None:
        self.clock = clock
        self._reader = reader

    def read(self, n: int, line: bytes | None) -> Asked | Rejected | Broken:
        """Return what stands in a line; None is given for one that was too long to be read."""
        if line is None:
            return Broken(n, TOO_LONG)
        try:
            read = read_line(line)
        except BrokenLineError as error:
            return Broken(n, str(error))
        return self.ask(n, read)

    def ask(self, n: int, line: Line) -> Asked | Rejected:
        """Return a line that has been read as the request in it, and set the clock to its time."""
        is_late = not self.clock.move_to(line.at_us)
        try:
            call = self._reader.call_of(line, str(n))
        except MalformedRequestError as error:
            return Rejected(n, line, error.message, error.status, is_late=is_late)
        if is_late:
            call = replace(call, at_us=self.clock.now_us)
        return Asked(n, line, call, is_late)

    def reading_of(self, line: Line) -> Reading:
        """Return what a dialect reads in a request, whenever it came. Raises MalformedRequestError."""
        return self._reader.call_of(line, "").reading

    def dialect_of(self, line: Line) -> Dialect:
        """Return the API in whose words the caller is answered."""
        return self._reader.dialect_of(line)
