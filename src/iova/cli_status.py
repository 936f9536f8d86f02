"""Exit statuses of the command; 2, an error, is ``IovaError.exit_status``."""

from __future__ import annotations

from typing import Final

#: ``verify``: not exact; ``tune``: no setting meets the targets.
ANSWER_IS_NO: Final = 1
#: Done, but part of an input could not be used.
PARTLY_DONE: Final = 3
#: Stopped with Ctrl-C.
INTERRUPTED: Final = 130
#: Whoever read the output has gone, as if SIGPIPE had ended the command.
NO_READER: Final = 141
#: Ended by a signal: this and its number, as shells say it.
SIGNALLED: Final = 128
