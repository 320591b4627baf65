"""Genesys Cloud's bulk export: ``ID.opus`` and ``ID.opus_metadata.json``, by conversation.

Times are written in three ways, operators are IDs, a conversation may have several recordings, and
an e-mail or a chat leaves metadata without audio.
"""

import json

from support.archives import sound
from support.archives.kit import archive, calls, operators, uuid

ORGANIZATION = "7f3d0000-0000-4000-8000-00000000c0de"


def make(folder, count=200):
    made = archive(folder)
    conversation = None
    for call in calls(count, seed=22):
        if conversation is None or call.number % 10 != 1:
            conversation = uuid(call, 1)  # else it is a second recording of the one before
        _one(made, call, conversation)
    made.table("operators.csv", operators("id"))
    return made


def _one(made, call, conversation):
    number = call.number
    when = f"year={call.start.year}/month={call.start.month}/day={call.start.day}"
    folder = f"{ORGANIZATION}/{when}/hour={call.start.hour}/conversation_id={conversation}"
    stem = f"{folder}/{uuid(call)}"
    told = {"operator_id": call.operator.id}
    about = json.dumps(_about(call, conversation), ensure_ascii=False)
    if number % 50 == 24:
        made.lost(f"{stem}.opus", sound.opus(call, 2), call)
        return
    if number % 50 == 25:
        made.beside(f"{stem}.json_metadata.json", about.replace('"Call"', '"Email"'), call)
    if number % 40 == 26:
        made.refused(f"{stem}.wav", sound.mulaw_wav(call, 2), call, **told)
        made.beside(f"{stem}.wav_metadata.json", about, call)
    elif number % 5 == 2:
        made.talk(f"{stem}.mp3", sound.mp3(call, 2), call, **told)
        made.beside(f"{stem}.mp3_metadata.json", about, call)
    else:
        made.talk(f"{stem}.opus", sound.opus(call, 2), call, **told)
        made.beside(f"{stem}.opus_metadata.json", about, call)


def _about(call, conversation):
    who = call.operator
    client = f"tel:+{call.client}" if call.number % 2 else f"+{call.client}"
    ours = "tel:+74950000001"
    return {
        "conversationId": conversation,
        "recordingId": uuid(call),
        "mediaType": "Call",
        "provider": "Edge",
        "direction": "OUTBOUND" if call.outgoing else "INBOUND",
        "ani": ours if call.outgoing else client,
        "dnis": client if call.outgoing else ours,
        "startTime": _time(call.start, call.number),
        "endTime": _time(call.end, call.number),
        "userIds": [who.id] + [uuid(call, 7)] * (call.number % 7 == 3),
        "queueIds": [] if call.outgoing else [uuid(call, 8)],
        "wrapUpCodes": [None],
        "divisionIds": [uuid(call, 9)],
    }


def _time(moment, how):
    plain = f"{moment:%Y-%m-%dT%H:%M:%S}"
    return (f"{plain}.000Z", f"{plain}Z", f"{plain}+0000")[how % 3]
