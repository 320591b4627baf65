"""Bitrix24 telephony: MP3 under the call's ID, and voximplant.statistic.get as JSON lines.

The operator is a number of the portal's users, a table of their own. Failed calls have no file.
"""

from datetime import timedelta, timezone

from support.archives import sound
from support.archives.kit import OPERATORS, archive, calls, lines, phone, written


def make(folder, count=200):
    made = archive(folder)
    rows = []
    for call in calls(count, seed=30):
        _one(made, rows, call)
    made.table("statistic.jsonl", lines(rows))
    users = [(number, who.name) for number, who in enumerate(OPERATORS, 1)]
    made.table("operators.csv", written([("id", "name"), *users], delimiter=";"))
    return made


def _one(made, rows, call):
    number = call.number
    row = _row(call)
    path = f"{call.local():%Y-%m}/{row['CALL_ID']}.mp3"
    told = {"operator_id": row["PORTAL_USER_ID"]}
    if number % 3 == 0:
        missed = {"CALL_ID": f"{row['CALL_ID']}x", "CALL_FAILED_CODE": "304"}
        rows.append(row | missed | {"RECORD_FILE_ID": None, "CALL_DURATION": "0"})
    if number % 50 == 40:
        made.lost(path, sound.mp3(call), call)
    else:
        rows.append(row)
        made.talk(path, sound.mp3(call), call, **told)


def _row(call):
    zone = timezone(timedelta(hours=(3, 2, 5)[call.number % 3]))
    kind = ("1", "4")[call.number % 9 == 4] if call.outgoing else ("2", "3")[call.number % 7 == 3]
    return {
        "ID": str(300 + call.number),
        "CALL_ID": f"externalCall.{call.number:06x}.{call.epoch}",
        "CALL_TYPE": kind,
        "PORTAL_USER_ID": str(OPERATORS.index(call.operator) + 1),
        "PORTAL_NUMBER": "reg12345",
        "PHONE_NUMBER": phone(call.client, call.number % 3),
        "CALL_DURATION": str(60 + call.number),
        "CALL_START_DATE": call.start.astimezone(zone).isoformat(),
        "CALL_FAILED_CODE": "200",
        "CRM_ENTITY_TYPE": "CONTACT",
        "CALL_RECORD_URL": "",
        "RECORD_FILE_ID": str(8800 + call.number),
        "COMMENT": "call back;\nurgent" if call.number % 11 == 5 else None,
    }
