"""FreePBX, and Issabel: names with numbers and time, and the CDR report that its GUI exports.

The operator of a queue's recording is only in the CDR's ``dstchannel``. A queue leaves a row for
each try, a call that nobody answered a row without a file, or a file of 44 bytes. The archive was
converted in part: the report still says ``.wav``, or ``.wav49`` where Asterisk wrote ``.WAV``.
"""

from support.archives import sound
from support.archives.kit import OPERATORS, archive, calls, columns, phone, written

COLUMNS = columns(
    "calldate clid src dst dcontext channel dstchannel lastapp lastdata duration billsec"
    " disposition amaflags accountcode uniqueid userfield did cnum cnam outbound_cnum"
    " outbound_cnam dst_cnam recordingfile linkedid peeraccount sequence"
)
DID = "74950000001"


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    rows = []
    for call in calls(count):
        _one(made, rows, call)
    rows.sort(key=lambda row: row["calldate"], reverse=True)  # as the report has them
    made.table("cdr.csv", written(rows, COLUMNS))
    return made


def _one(made, rows, call):
    number = call.number
    row = _row(call)
    kind, dst, src = _named(call)
    # The recording begins a little after the channel that gave it its ID.
    stamp = f"{call.local():%Y%m%d-%H%M%S}"
    server = "pbx1-" if number % 50 == 7 else ""
    uid = row["uniqueid"] = f"{server}{call.epoch - number % 2}.{500 + number}"
    row["linkedid"] = uid if number % 6 else f"{call.epoch - 30}.{400 + number}"
    stem = f"{kind}-{dst}-{src}-{stamp}-{uid}"
    path = f"{call.local():%Y/%m/%d}/{stem}"
    row["recordingfile"] = f"{stem}.wav"
    client = "unknown" if _hidden(call) else call.client
    told = {"client_id": client, "client_name": (row["did"] and row["cnam"]) or client}
    if number % 25 == 3:
        rows.append(row | {"disposition": "NO ANSWER", "billsec": 0})
        made.defect(f"{path}.wav", sound.nothing(), call, "empty")
    elif number % 40 == 4:
        rows.append(row | {"recordingfile": f"{stem}.wav49"})
        made.refused(f"{path}.WAV", sound.wav49(call), call, **told)
    elif number % 40 == 9:
        made.lost(f"{path}.wav", sound.wav(call), call)  # its rows were purged
    elif number % 5 == 1:
        rows.append(row)
        made.talk(f"{path}.mp3", sound.mp3(call), call, **told)
    else:
        rows.append(row)
        made.talk(f"{path}.wav", sound.wav(call), call, **told)
    if kind == "q":
        rows += _tries(row, number)
    if number % 3 == 0:
        rows.append(_missed(row, call))


def _row(call):
    out, who = call.outgoing, call.operator
    name = "" if call.number % 2 else call.client_name
    caller = "anonymous" if _hidden(call) else phone(call.client, call.number)
    channel = f"PJSIP/{who.extension}-{call.number:08x}"
    trunk = f"PJSIP/trunk_msk-{call.number + 1:08x}"
    queued = f"Local/{who.extension}@from-queue-{call.number:08x};1"
    if call.number % 20 == 1:
        queued = f"Local/FMPR-{who.extension}@from-internal-{call.number:08x};1"
    if call.number % 20 == 13:  # to the mobile phone that somebody set
        queued = f"Local/9161234567#@from-internal-{call.number:08x};1"
    return {
        "calldate": f"{call.local():%Y-%m-%d %H:%M:%S}",
        "clid": f'"{who.name}" <{who.extension}>' if out else f'"{name}, A" <{call.client}>',
        # What goes out shows the trunk's number, not the extension.
        "src": DID if out else caller,
        "dst": phone(call.client, call.number % 3) if out else who.extension,
        "dcontext": "from-internal" if out else "ext-queues",
        "channel": channel if out else trunk,
        "dstchannel": trunk if out else (channel, queued)[call.number % 2],
        "lastapp": "Dial" if out else "Queue",
        "lastdata": "PJSIP/x,300,Tb(func-apply-sipheaders^s^1)",
        "duration": call.wait + 60 + call.number,
        "billsec": 60 + call.number,
        "disposition": "ANSWERED",
        "amaflags": 3,
        "did": "" if out else DID,
        "cnum": who.extension if out else caller,
        "cnam": who.name if out else name,
        "outbound_cnum": DID if out else "",
        "dst_cnam": "" if out else who.name,
        "sequence": 9000 + call.number * 4,
    }


def _hidden(call):
    return not call.outgoing and call.number % 16 == 5


def _named(call):
    """The first three fields of its name."""
    number, who = call.number, call.operator
    told = "unknown" if _hidden(call) else phone(call.client, call.number % 3)
    if call.outgoing:
        # Issabel forces, a button records on demand, and somebody typed a dash.
        kind = {11: "force", 12: "ondemand"}.get(number % 30, "out")
        return kind, told, who.extension
    return (
        ("q", "501", told),
        ("external" if number % 8 == 1 else "exten", who.extension, told),
        ("rg", "600", f"8-{told[-10:-7]}-{told[-7:]}" if number % 20 == 18 else told),
        ("in", DID, told),
    )[number % 4]


def _tries(row, number):
    """The members of a queue that did not answer, of the same recording."""
    others = [who for who in OPERATORS if who.extension != row["dst"]]
    return [
        row
        | {
            "dst": who.extension,
            "dst_cnam": who.name,
            "dstchannel": f"Local/{who.extension}@from-queue-{number:08x};1",
            "disposition": "NO ANSWER",
            "billsec": 0,
            "duration": 15,
            "sequence": row["sequence"] + step,
        }
        for step, who in enumerate(others[: number % 3], 1)
    ]


def _missed(row, call):
    """A call that left no file."""
    return row | {
        "disposition": ("NO ANSWER", "BUSY", "FAILED")[call.number % 3],
        "billsec": 0,
        "recordingfile": "",
        "uniqueid": f"{call.epoch - 20}.{call.number}",
        "linkedid": f"{call.epoch - 20}.{call.number}",
    }
