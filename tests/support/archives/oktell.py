"""Oktell: names with line numbers and milliseconds, and an export of its table from MS SQL.

The export is Windows-1251 with ``;``. A line number is no phone (``e0207`` is an external line), so
the table is required; it is found by the two lines, in either order, and the time.
"""

from datetime import timedelta

from support.archives import sound
from support.archives.kit import archive, calls, columns, phone, written

COLUMNS = columns(
    "Id IdChain TimeStart TimeStop ALineNum BLineNum AOutNumber BOutNumber AStr BStr"
    " ConnectionType IsRecorded ReasonStart ReasonFailed"
)


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    rows = []
    for call in calls(count, seed=28):
        _one(made, rows, call)
    table = written(rows, COLUMNS, delimiter=";")
    made.table("A_Stat_Connections_1x1.csv", table.encode("cp1251"))
    return made


def _one(made, rows, call):
    number = call.number
    row = _row(call)
    low, high = sorted((row["ALineNum"], row["BLineNum"]))
    start = call.local() + timedelta(milliseconds=_ms(call))
    name = f"mix_{low}_{high}__{start:%Y_%m_%d__%H_%M_%S}_{_ms(call):03}.mp3"
    path = f"{start:%Y%m%d}/{start:%H%M}/{name}"
    name = row["BStr"] if call.outgoing else row["AStr"]
    date = (call.start + timedelta(milliseconds=_ms(call))).isoformat(timespec="milliseconds")
    if number % 4 == 2:
        rows.append(row | {"Id": row["Id"] + "0", "IsRecorded": 0, "TimeStart": _time(call, 600)})
    if number % 50 == 38:
        made.lost(path, sound.mp3(call), call)
    else:
        rows += [row] * (2 if number % 9 == 0 else 1)  # two exports overlap
        made.talk(path, sound.mp3(call), call, client_name=name, date=date)


def _ms(call):
    return (call.number * 37 + 430) % 1000


def _time(call, later=0):
    moment = call.local() + timedelta(seconds=later)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{_ms(call):03}"


def _row(call):
    out, who = call.outgoing, call.operator
    ours = (who.extension, "", who.name)
    theirs = (f"e{200 + call.number % 30:04}", phone(call.client, call.number % 3), "Саид")
    (a_line, a_out, a_name), (b_line, b_out, b_name) = (ours, theirs) if out else (theirs, ours)
    return {
        "Id": f"A0{call.number:04}",
        "IdChain": f"C0{call.number // 2:04}",
        "TimeStart": _time(call),
        "TimeStop": _time(call, 60),
        "ALineNum": a_line,
        "BLineNum": b_line,
        "AOutNumber": a_out,
        "BOutNumber": b_out,
        "AStr": a_name,
        "BStr": b_name,
        "ConnectionType": 1 if out else 5,
        "IsRecorded": 1,
        "ReasonStart": 1,
        "ReasonFailed": 0,
    }
