"""MikoPBX: WebM of two channels, MP3 before that, and the SQLite database of its CDR.

Known errors: a recording whose row has no ``recordingfile``, rows that still name the ``.wav`` or
``.mp3`` of before a conversion.
"""

import sqlite3
from contextlib import closing
from datetime import timedelta

from support.archives import sound
from support.archives.kit import archive, calls, columns, operators, phone

COLUMNS = columns(
    "start endtime answer src_chan src_num src_name dst_chan dst_num dst_name UNIQUEID linkedid did"
    " disposition recordingfile from_account to_account dialstatus appname transfer is_app duration"
    " billsec work_completed src_call_id dst_call_id verbose_call_id a_transfer rec_src_channel"
    " dtmf_digits"
)
STORAGE = "/storage/usbdisk1/mikopbx/astspool/monitor"


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    rows = []
    for call in calls(count, seed=19):
        _one(made, rows, call)
    _database(made, rows)
    made.table("operators.csv", operators("extension"))
    return made


def _one(made, rows, call):
    number = call.number
    row = _row(call)
    before = "pickup_" if number % 50 == 11 else ""
    path = f"{call.local():%Y/%m/%d/%H}/{before}{row['UNIQUEID']}"
    row["recordingfile"] = f"{STORAGE}/{path}.{('mp3', 'wav')[number % 2]}"
    told = {
        "client_name": call.client if call.outgoing else row["src_name"] or call.client,
        "date": _started(call).isoformat(timespec="milliseconds"),
    }
    if number % 7 == 3:
        rows.append(row | {"recordingfile": f"{STORAGE}/{path}.webm"})
        tags = [("CALL_UNIQUEID", row["UNIQUEID"]), ("CALL_SRC_NUM", row["src_num"])]
        made.refused(f"{path}.webm", sound.webm(call, tags), call, "format", **told)
    elif number % 50 == 12:
        made.lost(f"{path}.mp3", sound.mp3(call, 2), call)
    elif number % 50 == 14:
        rows.append(row)
        legs = {
            f"{path}_{side}.wav": sound.wav(sound.part(call, n))
            for n, side in enumerate(("in", "out"))
        }
        made.joined(f"{path}.wav", legs, call, **told)
    elif number % 40 == 13:
        rows.append(row | {"recordingfile": ""})
        made.talk(f"{path}.mp3", sound.mp3(call, 2), call, **told)
    else:
        rows.append(row)
        made.talk(f"{path}.mp3", sound.mp3(call, 2), call, **told)
    if number % 3 == 0:
        other = row | {"disposition": "NOANSWER", "billsec": "0", "recordingfile": ""}
        rows.append(other | {"UNIQUEID": f"mikopbx-{call.epoch}.{number}_missed"})


def _started(call):
    return call.local() + timedelta(milliseconds=call.number)


def _row(call):
    out, who = call.outgoing, call.operator
    told = phone(call.client, call.number % 3)
    name = "" if call.number % 2 else call.client_name
    linked = f"mikopbx-{call.epoch - call.number % 4}.{14000 + call.number}"
    return {
        "start": f"{_started(call):%Y-%m-%d %H:%M:%S}.{call.number:03}",
        "answer": f"{call.answer.astimezone(call.local().tzinfo):%Y-%m-%d %H:%M:%S}.500",
        "endtime": f"{call.end.astimezone(call.local().tzinfo):%Y-%m-%d %H:%M:%S}.250",
        "src_chan": f"PJSIP/{who.extension if out else 'SIP-TRUNK-1'}-{call.number:08x}",
        "src_num": who.extension if out else told,
        "src_name": who.name if out else name,
        "dst_chan": f"PJSIP/{'SIP-TRUNK-1' if out else who.extension}-{call.number:08x}",
        "dst_num": told if out else who.extension,
        "dst_name": "" if out else who.name,
        "UNIQUEID": f"mikopbx-{call.epoch}.{14000 + call.number}_Ab{call.number:03}C",
        "linkedid": linked,
        "did": "" if out else "74950000001",
        "disposition": "ANSWERED",
        "from_account": "" if out else "SIP-TRUNK-1",
        "to_account": "SIP-TRUNK-1" if out else "",
        "duration": str(call.wait + 60 + call.number),
        "billsec": str(60 + call.number),
        "work_completed": "1",
        "rec_src_channel": ("0", "1", "")[call.number % 3],
    }


def _database(made, rows):
    target = made.root.parent / "cdr.db"
    with closing(sqlite3.connect(target)) as db, db:
        columns = ", ".join(f'"{name}" TEXT' for name in COLUMNS)
        db.execute(f"CREATE TABLE cdr_general (id INTEGER PRIMARY KEY, {columns})")
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        slots = ", ".join("?" * len(COLUMNS))
        db.executemany(
            f"INSERT INTO cdr_general ({names}) VALUES ({slots})",  # noqa: S608 - of names above
            [[row.get(name, "") for name in COLUMNS] for row in rows],
        )
    made.tables["cdr.db"] = target
