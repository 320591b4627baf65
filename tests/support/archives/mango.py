"""Mango Office: MP3 under the ID of the recording, and the statistics, a CSV without a header.

IDs are base64, so they are made fit for a file name: ``_`` for ``/``, ``-`` for ``+``. One row may
have several recordings, or ``[]``. Which way a call went, only the extensions tell.
"""

import base64

from support.archives import sound
from support.archives.kit import archive, calls, columns, operators, written

COLUMNS = columns(
    "records start finish answer from_extension from_number to_extension to_number"
    " disconnect_reason line_number location entry_id"
)


def make(folder, count=200):
    made = archive(folder)
    rows = []
    for call in calls(count, seed=25):
        _one(made, rows, call)
    made.table("stats.csv", written(rows, COLUMNS, header=False, delimiter=";"))
    made.table("operators.csv", operators("extension"))
    return made


def _one(made, rows, call):
    number = call.number
    ids = [_id(call, part) for part in range(2 if number % 12 == 5 else 1)]
    row = _row(call) | {"records": f"[{','.join(ids)}]"}
    if number % 4 == 0:
        rows.append(row | {"records": "[]", "answer": 0, "entry_id": f"{number}-lost"})
    if number % 50 == 33:
        made.lost(f"{_file(ids[0])}.mp3", sound.mp3(call), call)
        return
    rows.append(row)
    for part, recording in enumerate(ids):
        content = sound.mp3(sound.part(call, part))
        made.talk(f"{call.local():%Y-%m}/{_file(recording)}.mp3", content, call)


def _id(call, part):
    return base64.b64encode(f"1:10000{part}:{call.epoch}:{call.number}?>~".encode()).decode()


def _file(recording):
    return recording.replace("/", "_").replace("+", "-")


def _row(call):
    out, who = call.outgoing, call.operator
    sip = f"sip:{who.login}@vpbx400123456.mangosip.ru"
    return {
        "start": call.epoch,
        "finish": int(call.end.timestamp()),
        "answer": int(call.answer.timestamp()),
        "from_extension": who.extension if out else "",
        "from_number": sip if out else call.client,
        "to_extension": "" if out else who.extension,
        "to_number": call.client if out else sip,
        "disconnect_reason": 1110,
        "line_number": "74950000001",
        "location": "abonent",
        "entry_id": f"MTIz{call.number:06}",
    }
