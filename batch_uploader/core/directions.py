"""Words for the direction of a call, and for yes and no, as systems write them."""

from typing import Final

IN: Final = frozenset(
    (
        *("in", "inbound", "incoming", "i", "ein", "eingehend"),
        *("входящий", "входящая", "входящие", "входящ.", "вх", "вх."),
    )
)
OUT: Final = frozenset(
    (
        *("out", "outbound", "outgoing", "o", "aus", "ausgehend"),
        *("исходящий", "исходящая", "исходящие", "исходящ.", "исх", "исх."),
    )
)
TRUE: Final = frozenset(("true", "t", "yes", "y", "on", "1", "да", "истина", "ja"))
FALSE: Final = frozenset(("false", "f", "no", "n", "off", "0", "нет", "ложь", "nein"))
