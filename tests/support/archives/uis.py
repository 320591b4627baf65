"""UIS, CoMagic, Novofon: ``COMMUNICATION/RECORD.mp3``, and get.calls_report as JSON lines.

Times are the account's, without a zone. Several employees may have been tried; the one who talked
is marked. A call may have several recordings.
"""

from support.archives import sound
from support.archives.kit import OPERATORS, archive, calls, lines


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    rows = []
    for call in calls(count, seed=29):
        _one(made, rows, call)
    made.table("calls_report.jsonl", lines(rows))
    return made


def _one(made, rows, call):
    number, who = call.number, call.operator
    communication = str(5_000_000 + number)
    records = [f"{number:04x}{part}ab54c" for part in range(2 if number % 15 == 6 else 1)]
    row = {
        "id": 9_000_000 + number,
        "communication_id": int(communication),
        "start_time": f"{call.local():%Y-%m-%d %H:%M:%S}",
        "finish_time": f"{call.end.astimezone(call.local().tzinfo):%Y-%m-%d %H:%M:%S}",
        "direction": "out" if call.outgoing else "in",
        "contact_phone_number": call.client,
        "virtual_phone_number": "74950000001",
        "contact_full_name": call.client_name if number % 2 else None,
        "employees": [_employee(other, talked=False) for other in OPERATORS[: number % 3]]
        + [_employee(who, talked=True)],
        "last_answered_employee_id": int(who.extension),
        "last_answered_employee_full_name": who.name,
        "talk_duration": 60 + number,
        "is_lost": False,
        "call_records": records,
        "wav_call_records": [],
        "full_record_file_link": f"https://media.example.com/{communication}/{records[0]}",
    }
    if number % 3 == 0:
        lost = {"communication_id": 6_000_000 + number, "is_lost": True, "call_records": None}
        rows.append(row | lost | {"full_record_file_link": None})
    if number % 50 == 39:
        made.lost(f"{communication}/{records[0]}.mp3", sound.mp3(call), call)
        return
    rows.append(row)
    if number % 9 == 0:
        rows.append(row)  # two reports overlap
    told = {"client_name": row["contact_full_name"] or call.client}
    for part, record in enumerate(records):
        content = sound.mp3(sound.part(call, part))
        made.talk(f"{communication}/{record}.mp3", content, call, **told)


def _employee(who, *, talked):
    return {
        "employee_id": int(who.extension),
        "employee_full_name": who.name,
        "is_answered": talked,
        "is_talked": talked,
    }
