"""Bare Asterisk: recordings under the ID of their channel, and Master.csv.

Master.csv has no header, is in GMT as its sample settings have it, doubles quotes, and leaves the
times of what nobody answered empty. Dial plans name files as they like; all have the ID in it.
"""

from support.archives import sound
from support.archives.kit import archive, calls, columns, operators, phone

COLUMNS = columns(
    "accountcode src dst dcontext clid channel dstchannel lastapp lastdata start answer end"
    " duration billsec disposition amaflags uniqueid userfield"
)


def make(folder, count=200):
    made = archive(folder)
    rows = []
    for call in calls(count, seed=18):
        _one(made, rows, call)
    made.table("Master.csv", "".join(_line(row) for row in rows))
    made.table("operators.csv", operators("extension"))
    return made


def _one(made, rows, call):
    number = call.number
    row = _row(call)
    uid, src, dst = row["uniqueid"], row["src"], row["dst"]
    stem = (uid, f"{src}-{dst}-{uid}", f"q-501-{uid}")[number % 3]
    if number % 4 == 0:
        rows.append(_missed(row, call))
    told = {"client_id": "unknown", "client_name": "unknown"} if _hidden(call) else {}
    if number % 40 == 5:
        rows.append(row)
        made.refused(f"{stem}.gsm", sound.raw_gsm(call), call, "format", **told)
    elif number % 40 == 6:
        rows.append(row)
        made.refused(f"{stem}.WAV", sound.wav49(call), call, **told)
    elif number % 40 == 7:
        rows.append(row)
        made.refused(f"{stem}.ulaw", sound.raw_mulaw(call), call, "format", **told)
    elif number % 40 == 8:
        rows.append(row | {"disposition": "NO ANSWER", "answer": "", "billsec": 0})
        made.defect(f"{stem}.wav", sound.nothing(), call, "empty")
    elif number % 40 == 10:
        rows.append(row)
        legs = {
            f"{stem}-{side}.wav": sound.wav(sound.part(call, n))
            for n, side in enumerate(("in", "out"))
        }
        made.joined(f"{stem}.wav", legs, call, sound.wav(call), **told)
    elif number % 40 == 9:
        made.lost(f"{stem}.wav", sound.wav(call), call)  # its record was over 1,024 bytes
    else:
        rows.append(row)
        if number % 20 == 2:  # the caller was passed on: one channel, two rows
            rows.append(row | {"dstchannel": "", "lastapp": "Playback", "billsec": 3})
        made.talk(f"{stem}.wav", sound.wav(call), call, **told)


def _hidden(call):
    return not call.outgoing and call.number % 16 == 3


def _row(call):
    out, who = call.outgoing, call.operator
    own, trunk = f"SIP/{who.extension}-{call.number:08x}", f"SIP/provider-{call.number:08x}"
    told = "" if _hidden(call) else phone(call.client, call.number % 4)
    return {
        "src": who.extension if out else told,
        "dst": told if out else "74950000001",
        "dcontext": "from-internal" if out else "from-pstn",
        "clid": f'"{who.name}" <{who.extension}>' if out else f'"O""Neil, I" <{told}>',
        "channel": own if out else trunk,
        "dstchannel": trunk if out else own,
        "lastapp": "Dial",
        "lastdata": f"SIP/{who.extension},30,tT",
        "start": f"{call.start:%Y-%m-%d %H:%M:%S}",
        "answer": f"{call.answer:%Y-%m-%d %H:%M:%S}",
        "end": f"{call.end:%Y-%m-%d %H:%M:%S}",
        "duration": call.wait + 60 + call.number,
        "billsec": 60 + call.number,
        "disposition": "ANSWERED",
        "amaflags": "DOCUMENTATION",
        "uniqueid": f"{call.epoch}.{100 + call.number}",
    }


def _missed(row, call):
    return row | {
        "disposition": "NO ANSWER",
        "answer": "",
        "billsec": 0,
        "dstchannel": "",
        "uniqueid": f"{call.epoch - 50}.{call.number}",
    }


def _line(row):
    """As cdr_csv writes it: texts in quotes, numbers bare."""
    told = (row.get(name, "") for name in COLUMNS)
    quoted = (str(v) if isinstance(v, int) else '"' + v.replace('"', '""') + '"' for v in told)
    return ",".join(quoted) + "\n"
