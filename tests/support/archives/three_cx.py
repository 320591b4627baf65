"""3CX: a folder for each extension, and all else in the name: who, both numbers, time, call.

A name may have spaces, a comma and Cyrillic in it. The first number called the second. A call
between two extensions is recorded for both of them, under almost the same name.
"""

from support.archives import sound
from support.archives.kit import OPERATORS, archive, calls


def make(folder, count=200):
    made = archive(folder, timezone="Europe/Moscow")
    for call in calls(count, seed=27):
        if call.number % 40 == 15:
            _internal(made, call)
        else:
            _one(made, call)
    return made


def _internal(made, call):
    """A call from one extension to another, as each of them has it."""
    caller = call.operator
    callee = next(who for who in OPERATORS if who is not caller)
    stamp = f"{call.local():%Y%m%d%H%M%S}({3000 + call.number // 2})"
    for part, (who, other) in enumerate(((caller, callee), (callee, caller))):
        name = f"[{who.name}]_{caller.extension}-{callee.extension}_{stamp}.wav"
        told = {
            "operator_id": who.extension,
            "operator_name": who.name,
            "client_id": other.extension,
            "client_name": other.extension,
            "direction_outgoing": "true" if who is caller else "false",
        }
        sounds = sound.wav(sound.part(call, part))
        made.talk(f"recordings/{who.extension}/{name}", sounds, call, **told)


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
