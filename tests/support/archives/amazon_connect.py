"""Amazon Connect: stereo WAVs with a colon in the name, and contact records as JSON lines.

Records are delivered at least once, and again when they change: the newest counts. A contact may
have two recordings, of the IVR and of the agent. Copies to Windows have ``_`` for the colon.
"""

from support.archives import sound
from support.archives.kit import archive, calls, lines, operators, uuid

BUCKET, FOLDER = "calls-bucket", "connect/acme/CallRecordings"


def make(folder, count=200):
    made = archive(folder)
    records = []
    for call in calls(count, seed=24):
        _one(made, records, call)
    made.table("contacts.jsonl", lines(records))
    made.table("operators.csv", operators("login"))
    return made


def _one(made, records, call):
    number, contact = call.number, uuid(call)
    ivr = "ivr/" if number % 20 == 5 else ""
    colon = "_" if number % 4 == 3 else ":"
    name = f"{contact}_{call.start:%Y%m%dT%H}{{}}{call.start:%M}_UTC.wav"
    key = f"{FOLDER}/{ivr}{call.start:%Y/%m/%d}/{name}"
    path = key.format(colon)
    record = _record(call, contact, key.format(":"))
    told = {"operator_id": call.operator.login}
    if ivr:
        record["Agent"] = None
        told = {"operator_id": "IVR", "operator_name": "IVR"}
    if number % 50 == 32:
        made.lost(path, sound.wav(call, 2), call)
        return
    made.talk(path, sound.wav(call, 2), call, **told)
    if number % 6 == 1:  # delivered before it was complete, with its first agent
        old = record | {"LastUpdateTimestamp": _time(call.start)}
        records.append(old | {"Agent": {"Username": "somebody", "ARN": "arn:aws:1"}})
    records.append(record)
    if number % 6 == 2:
        records.append(record)  # delivered twice
    if number % 6 == 3:  # a contact without a recording
        records.append(record | {"ContactId": uuid(call, 5), "Recordings": None})


def _record(call, contact, key):
    out = call.outgoing
    return {
        "ContactId": contact,
        "InitialContactId": contact if call.number % 5 else uuid(call, 2),
        "Channel": "VOICE",
        "InitiationMethod": "OUTBOUND" if out else ("INBOUND", "TRANSFER")[call.number % 2],
        "InitiationTimestamp": _time(call.start),
        "ConnectedToSystemTimestamp": _time(call.answer),
        "DisconnectTimestamp": _time(call.end),
        "LastUpdateTimestamp": _time(call.end),
        "CustomerEndpoint": {"Address": f"+{call.client}", "Type": "TELEPHONE_NUMBER"},
        "SystemEndpoint": {"Address": "+74950000001", "Type": "TELEPHONE_NUMBER"},
        "Agent": {
            "ARN": f"arn:aws:connect:eu-central-1:1:instance/x/agent/{call.operator.id}",
            "Username": call.operator.login,
            "ConnectedToAgentTimestamp": _time(call.answer),
            "NumberOfHolds": 0,
        },
        "Queue": None if out else {"Name": "Sales", "ARN": "arn:aws:connect:1", "Duration": 7},
        "Recordings": [
            {
                "Location": f"{BUCKET}/{key}",
                "MediaStreamType": "AUDIO",
                "ParticipantType": None,
                "StorageType": "S3",
                "Status": "AVAILABLE",
            }
        ],
        "Attributes": {"Имя": call.client_name},
    }


def _time(moment):
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
