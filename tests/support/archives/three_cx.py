"""3CX: a folder for each extension, and all else in the name: who, both numbers, time, call.

A name may have spaces, a comma and Cyrillic in it. The first number called the second.
"""

from support.archives import sound
from support.archives.kit import archive, calls


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    for call in calls(count, seed=27):
        _one(made, call)
    return made


def _one(made, call):
    number, who = call.number, call.operator
    name = ", ".join(reversed(who.name.split())) if number % 3 else who.name
    ends = (who.extension, call.client) if call.outgoing else (call.client, who.extension)
    stamp = f"{call.local():%Y%m%d%H%M%S}({3000 + number // 2})"
    path = f"recordings/{who.extension}/[{name}]_{'-'.join(ends)}_{stamp}.wav"
    if number % 50 == 36:
        made.lost(f"recordings/{who.extension}/voicemail {number}.wav", sound.wav(call), call)
    elif number % 50 == 37:
        made.defect(path, sound.nothing(), call, "empty")
    else:
        made.talk(path, sound.wav(call), call, operator_name=name)
