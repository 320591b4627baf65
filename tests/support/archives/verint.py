"""Verint's Interaction Data Export: JSON and WAV of one name, in folders of hours.

The folder's hour need not be that of the name. Directions are numbers, a screen recording lies
beside some, and what was not calculated is an empty text. The names of its fields are made up.
"""

import json

from support.archives import sound
from support.archives.kit import archive, calls


def make(folder, count=200):
    made = archive(folder)
    for call in calls(count, seed=33):
        _one(made, call)
    return made


def _one(made, call):
    number, who = call.number, call.operator
    hour = (call.start.hour + number % 2) % 24
    name = f"{call.start:%Y%m%d%H%M}{call.epoch}{number:06}"
    stem = f"{call.start:%Y/%m/%d}/{hour:02}/{name}"
    about = {
        "mediaId": name,
        "status": "success",
        "dateCreated": f"{call.end:%Y-%m-%dT%H:%M:%SZ}",
        "length": 60 + number,
        "metadata": {
            "sid": 900000 + number,
            "contactId": f"C{number // 2:06}",
            "startTime": f"{call.start:%Y-%m-%d %H:%M:%S}",
            "employeeId": who.login,
            "employeeName": "" if number % 11 == 3 else who.name,
            "direction": 2 if call.outgoing else 1,
            "ani": who.extension if call.outgoing else f"+{call.client}",
            "dnis": f"+{call.client}" if call.outgoing else "74950000001",
        },
    }
    if number % 50 == 43:
        made.lost(f"{stem}.wav", sound.wav(call, 2), call)
        return
    made.beside(f"{stem}.json", json.dumps(about, ensure_ascii=False), call)
    if number % 20 == 5:
        made.beside(f"{stem}_screen_1.scn", b"\0" * 200, call)
    told = {"operator_id": who.login, "operator_name": about["metadata"]["employeeName"]}
    told["operator_name"] = told["operator_name"] or who.login
    if number % 50 == 44:
        made.refused(f"{stem}.wav", sound.mulaw_wav(call, 2), call, **told)
    else:
        made.talk(f"{stem}.wav", sound.wav(call, 2), call, **told)
