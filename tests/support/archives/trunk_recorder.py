"""trunk-recorder: radio. WAV and JSON of one stem, numbers without padding in the folders.

There is no client: the talkgroup takes its place, the radio that spoke first the operator's. Some
have a copy as M4A. A call that nobody spoke in has no radio.
"""

import json

from support.archives import sound
from support.archives.kit import archive, calls


def make(folder, count=200):
    made = archive(folder)
    for call in calls(count, seed=32):
        _one(made, call)
    return made


def _one(made, call):
    number, group, radio = call.number, 13 + call.number % 5, 39000 + call.number % 7
    day = call.local()
    stem = f"city/{day.year}/{day.month}/{day.day}/{group}-{call.epoch}_769000000-call_{number}"
    heard = [{"src": radio, "time": call.epoch, "pos": 0.0, "emergency": 0, "tag": ""}]
    about = {
        "freq": 769000000,
        "start_time": call.epoch,
        "stop_time": int(call.end.timestamp()),
        "emergency": 0,
        "call_length": 4,
        "talkgroup": group,
        "talkgroup_tag": f"District {group}",
        "audio_type": "digital",
        "short_name": "city",
        "freqList": [{"freq": 769000000, "time": call.epoch, "pos": 0.0, "error_count": "8"}],
        "srcList": heard,
    }
    if number % 50 == 42:
        made.lost(f"{stem}.wav", sound.wav(call), call)
        return
    told = {
        "operator_id": str(radio),
        "operator_name": str(radio),
        "client_id": str(group),
        "client_name": f"District {group}",
        "direction_outgoing": "false",
    }
    made.talk(f"{stem}.wav", sound.wav(call), call, **told)
    made.beside(f"{stem}.json", json.dumps(about), call)
    if number % 10 == 3:
        made.passed(f"{stem}.m4a", b"\0\0\0\x20ftypM4A " + bytes(500), call)
