"""FusionPBX: ``DOMAIN/archive/2026/Mar/27/UUID.mp3``, and the CDR as its GUI exports it.

The export puts values in quotes and does not double the quotes in them, so a row with such a value
cannot be read. Outgoing calls show the trunk's number as the caller, so the extension is in
``extension``.
"""

from support.archives import sound
from support.archives.kit import archive, calls, columns, operators, phone, uuid

COLUMNS = columns(
    "xml_cdr_uuid domain_name extension direction caller_id_name caller_id_number"
    " caller_destination source_number destination_number start_stamp start_epoch answer_stamp"
    " end_stamp duration billsec record_path record_name leg cc_queue cc_agent missed_call"
    " hangup_cause"
)
DOMAIN = "pbx.example.com"
MONTHS = columns("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")


def make(folder, count=200):
    made = archive(folder)
    rows = []
    for call in calls(count, seed=26):
        _one(made, rows, call)
    table = [",".join(f'"{row.get(name, "")}"' for name in COLUMNS) for row in rows]
    made.table("xml_cdr.csv", "\n".join([",".join(f'"{name}"' for name in COLUMNS), *table]) + "\n")
    made.table("operators.csv", operators("extension"))
    return made


def _one(made, rows, call):
    number = call.number
    row = _row(call)
    folder = (
        f"{DOMAIN}/archive/{call.local():%Y}/{MONTHS[call.local().month - 1]}/{call.local():%d}"
    )
    path = f"{folder}/{row['xml_cdr_uuid']}"
    row |= {"record_path": f"/var/lib/freeswitch/recordings/{folder}"}
    row |= {"record_name": f"{row['xml_cdr_uuid']}.{'wav' if number % 9 == 4 else 'mp3'}"}
    told = {} if call.outgoing else {"client_name": row["caller_id_name"]}
    if number % 4 == 1:
        lost = {"xml_cdr_uuid": uuid(call, 4), "record_path": "", "record_name": ""}
        rows.append(row | lost | {"missed_call": "true", "billsec": 0})
    if number % 50 == 34:
        made.lost(f"{path}.mp3", sound.mp3(call, 2), call)
    elif '"' in row["caller_id_name"]:
        rows.append(row)  # whoever reads it cannot tell where the name ends
        made.lost(f"{path}.mp3", sound.mp3(call, 2), call)
    elif number % 50 == 35:
        rows.append(row)
        made.refused(f"{path}.wav", sound.mulaw_wav(call, 2), call, **told)
    else:
        rows.append(row)
        made.talk(f"{path}.mp3", sound.mp3(call, 2), call, **told)


def _row(call):
    out, who = call.outgoing, call.operator
    name = f'Ann "Ny, ura" {call.number}' if call.number % 10 == 6 else call.client_name
    told = phone(call.client, call.number % 3)
    return {
        "xml_cdr_uuid": uuid(call),
        "domain_name": DOMAIN,
        "extension": who.extension,
        "direction": "outbound" if out else "inbound",
        "caller_id_name": who.name if out else name,
        "caller_id_number": "74950000001" if out else told,
        "caller_destination": told if out else "74950000001",
        "source_number": who.extension if out else told,
        "destination_number": told if out else who.extension,
        "start_stamp": f"{call.local():%Y-%m-%d %H:%M:%S}",
        "start_epoch": call.epoch,
        "answer_stamp": f"{call.answer.astimezone(call.local().tzinfo):%Y-%m-%d %H:%M:%S}",
        "end_stamp": f"{call.end.astimezone(call.local().tzinfo):%Y-%m-%d %H:%M:%S}",
        "duration": call.wait + 60 + call.number,
        "billsec": 60 + call.number,
        "leg": "a",
        "missed_call": "false",
        "hangup_cause": "NORMAL_CLEARING",
    }
