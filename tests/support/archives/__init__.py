"""Made-up archives of call recordings, as the systems write that the ready-made layouts are for.

Each module makes one: ``make(folder)`` writes 200 recordings with the table or the sidecars beside
them, with what goes wrong in real archives of its kind, and returns the ``Archive``, which has the
truth about each file. The names are those of the layouts.
"""

import importlib

MAKERS = {
    "freepbx": "freepbx",
    "asterisk": "asterisk",
    "mikopbx": "mikopbx",
    "vicidial": "vicidial",
    "megafon": "megafon",
    "genesys-cloud": "genesys_cloud",
    "vendor": "vendor",
    "amazon-connect": "amazon_connect",
    "mango": "mango",
    "fusionpbx": "fusionpbx",
    "3cx": "three_cx",
    "oktell": "oktell",
    "uis": "uis",
    "bitrix24": "bitrix24",
    "verint": "verint",
    "orecx": "orecx",
    "trunk-recorder": "trunk_recorder",
}


def make(layout, folder, count=200):
    """The archive of this layout, in this folder."""
    return importlib.import_module(f"support.archives.{MAKERS[layout]}").make(folder, count)
