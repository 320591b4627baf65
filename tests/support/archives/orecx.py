"""OrecX (Oreka): ``YYYY/MM/DD/HH/YYYYMMDD_HHMMSS_PORT.wav``, and its table OrkTape.

It stores GSM unless it is set up otherwise; some files here are from before that. The names are in
local time, and one port has one recording a second.
"""

from support.archives import sound
from support.archives.kit import archive, calls, columns, operators, phone, written

COLUMNS = columns("filename timestamp duration localParty remoteParty direction nativeCallId")


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    rows = []
    for call in calls(count, seed=31):
        _one(made, rows, call)
    made.table("OrkTape.csv", written(rows, COLUMNS))
    made.table("operators.csv", operators("extension"))
    return made


def _one(made, rows, call):
    number, when = call.number, call.local()
    path = f"{when:%Y/%m/%d/%H}/{when:%Y%m%d_%H%M%S}_{10000 + number % 40}.wav"
    way = "out" if call.outgoing else "in"
    row = {
        "filename": path,
        "timestamp": f"{when:%Y-%m-%d %H:%M:%S}",
        "duration": 60 + number,
        "localParty": call.operator.extension,
        "remoteParty": phone(call.client, number % 3),
        "direction": (way, way[0].upper())[number % 2],
        "nativeCallId": f"{number:08x}@10.0.0.5",
    }
    if number % 50 == 41:
        made.lost(path, sound.wav(call), call)
    elif number % 25 == 7:
        rows.append(row)
        made.refused(path, sound.wav49(call), call)
    else:
        rows.append(row)
        made.talk(path, sound.wav(call), call)
