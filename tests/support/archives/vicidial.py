"""VICIdial: MP3 by date, and the table recording_log as ``mysql --batch`` prints it.

The file has ``-all`` and another extension than the row's ``filename``; a name is used twice if two
servers called one number in the same second, so only the folder tells them apart. ``location`` is a
URL, and still names the .wav for some. What is in GSM and OGG (Vorbis) the service does not take.
"""

from dataclasses import replace
from datetime import timedelta

from support.archives import sound
from support.archives.kit import OPERATORS, archive, calls, columns, written

COLUMNS = columns(
    "recording_id channel server_ip extension start_time start_epoch end_time end_epoch"
    " length_in_sec length_in_min filename location lead_id user vicidial_id"
)


def make(folder, count=200):
    made = archive(folder)
    rows = []
    drawn = calls(count, seed=20)
    for call in drawn:
        _one(made, rows, call)
    _of_other_server(made, rows, drawn[-1])
    table = written(rows, COLUMNS, delimiter="\t", lineterminator="\n", quotechar=None, quoting=3)
    made.table("recording_log.tsv", table)
    users = [(who.login, who.name, 1) for who in OPERATORS]
    made.table(
        "vicidial_users.tsv", written([("user", "full_name", "user_level"), *users], delimiter="\t")
    )
    return made


def _one(made, rows, call):
    number = call.number
    row = _row(call)
    path, told = _path(call, row), _told(call)
    if number % 50 == 21:
        rows.append(row)
        other = path.replace("MP3", "GSM").replace(".mp3", ".gsm")
        made.refused(other, sound.raw_gsm(call), call, "format", **told)
    elif number % 50 == 22:
        rows.append(row)
        other = path.replace("MP3", "OGG").replace(".mp3", ".ogg")
        made.refused(other, sound.vorbis(call), call, **told)
    elif number % 50 == 23:
        made.lost(path, sound.mp3(call), call)
    else:
        rows.append(row)
        made.talk(path, sound.mp3(call), call, **told)
    if number % 6 == 0:  # a recording that the server never stored
        rows.append(row | {"recording_id": row["recording_id"] + 5000, "location": "NULL"})


def _of_other_server(made, rows, last):
    """Two recordings of one name, in two folders."""
    for server in (1, 2):
        call = _again(last, server)
        row = _row(call) | {"server_ip": f"10.0.0.{server}"}
        folder = f"MP3/server{server}"
        name = f"{row['filename']}-all.mp3"
        rows.append(row | {"location": f"http://10.0.0.9/RECORDINGS/{folder}/{name}"})
        made.talk(f"{folder}/{name}", sound.mp3(call), call, **_told(call))


def _again(call, server):
    return replace(
        call,
        number=1000 + server,
        start=call.start + timedelta(hours=1),
        operator=OPERATORS[server],
        outgoing=True,
    )


def _path(call, row):
    return f"MP3/{call.local():%Y-%m-%d}/{row['filename']}-all.mp3"


def _told(call):
    return {"operator_id": call.operator.login}


def _row(call):
    when = f"{call.local():%Y%m%d-%H%M%S}"
    name = (f"{when}_{call.client}", f"SALES_{when}_{call.client}")[call.number % 2]
    row = {
        "recording_id": 700000 + call.number,
        "channel": f"Local/586000{call.number:02}@default-{call.number:04x};1",
        "server_ip": "10.0.0.9",
        "extension": "8309",
        "start_time": f"{call.local():%Y-%m-%d %H:%M:%S}",
        "start_epoch": call.epoch,
        "end_time": f"{call.end.astimezone(call.local().tzinfo):%Y-%m-%d %H:%M:%S}",
        "end_epoch": int(call.end.timestamp()),
        "length_in_sec": 60 + call.number,
        "length_in_min": "1.5",
        "filename": name,
        "lead_id": 31000 + call.number,
        "user": call.operator.login,
        # An ID of vicidial_log for what was dialled, a number of the closer log for what came in.
        "vicidial_id": f"{call.epoch}.{call.number}" if call.outgoing else f"{88000 + call.number}",
    }
    extension = "wav" if call.number % 8 == 5 else "mp3"
    row["location"] = f"http://10.0.0.9/RECORDINGS/{_path(call, row)[:-3]}{extension}"
    return row
