"""The fence as a script of mitmproxy's stock runner, to look at traffic by hand: `mitmdump -s THIS_FILE`.

Settings come from MODELFENCE_CONFIG and the other variables, as for `modelfence run`; the listening address and the
admin port do not apply. A setting that is wrong ends mitmdump, which takes an error while a script is loaded for one of
its own.
"""

import os
from argparse import Namespace

from modelfence.cli.run import FLAGS, complain, settings_of
from modelfence.settings import CannotStartError
from modelfence.wiring import Gateway


def _gateway() -> Gateway:
    nothing_given = Namespace(config=None, upstream=None, **dict.fromkeys(FLAGS))
    try:
        return Gateway(settings_of(nothing_given, os.environ))
    except CannotStartError as error:
        complain(error.problems)
        raise


addons = _gateway().stock_addons
