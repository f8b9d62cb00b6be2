"""The synthetic assistant corpus: synthetic people with one voice and their habits each, who talk
to a voice assistant.

Nobody is real: voices are synthesised, the domain's own words (lamps, bands, skills) are invented,
telephone numbers are of the kind reserved for fiction, and mail domains of the kind reserved for
examples.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from speechpriv import audio
from speechpriv.audio import RATE_HZ
from speechpriv.data import augment, text, voices
from speechpriv.data.rows import SourceRow
from speechpriv.sections import DemoConfig

PERSONAL_SHARE = 0.15  # of utterances carry synthetic personal data
_HABIT_SHARE = 0.7  # of utterances, and of their fillers, are among a person's favourites
_HABITS, _TASTES = 10, 2
_SLOT = re.compile(r"\{(\w+)\}")


def split_items(listing: str, separator: str) -> tuple[str, ...]:
    """Return the items of a list that is written as text, each on one line."""
    return tuple(" ".join(item.split()) for item in listing.split(separator))


PATTERNS = split_items(
    """
    turn on the {lamp}; turn off the {lamp}; turn on the {lamp} in the {room}; turn off all the lights; lights off;
    dim the {lamp} to {percent} percent; set the {lamp} to {colour}; make the {room} {colour}; brighten the {room};
    turn the {room} lights {colour}; all lights to {percent} percent; good night lights; is the {lamp} still on;
    flash the {lamp} twice; switch the {lamp} to {mood} mode; turn everything off in the {room}; lights up slowly;
    leave only the {lamp} on; swap the {lamp} and the {lamp}; set a timer for {minutes} minutes;
    set a {food} timer for {minutes} minutes; how long is left on the {food} timer; cancel the {food} timer;
    add {minutes} minutes to the timer; stop the timer; pause the {food} timer; restart my timer;
    start a {minutes} minute countdown; how many timers are running; timer for one hour and {minutes} minutes;
    wake me up at {time}; set an alarm for {time}; set an alarm for {time} on {day}; cancel my {time} alarm; snooze;
    snooze for {minutes} minutes; what alarms do i have on {day}; wake me with {artist}; turn off the alarm;
    make my alarm louder; skip the alarm on {day}; move my alarm to {time}; play {song} by {artist}; play {artist};
    play the new album by {artist}; shuffle {artist}; play my {mood} playlist; next song; skip this one;
    what song is this; play {song} again; turn it up; turn it down; volume to {percent} percent;
    play {station} on the {speaker}; stop the music; add {song} to my {mood} playlist; play something like {artist};
    who sings {song}; play {podcast}; play the latest {podcast}; resume {podcast}; play {mood} music in the {room};
    move the music to the {speaker}; when is {artist} on tour; never play {song} again; repeat {song};
    add {item} to my shopping list; put {item} and {item} on the list; remove {item} from the shopping list;
    what is on my shopping list; do i need {item}; clear the shopping list; order more {item}; we are out of {item};
    how much is {item} at {shop}; reorder {item} from {shop}; where is my order from {shop};
    add {number} packs of {item}; what is the weather in {city}; will it rain in {city} on {day};
    how cold is it outside; do i need an umbrella on {day}; weather for {day}; is it windy in {city};
    when is sunset in {city}; what is the pollen count in {city}; how warm will it get on {day};
    is there frost on {day}; will it snow in {city}; remind me to {task} at {time}; remind me to {task} on {day};
    remind me to {task} when i get home; what are my reminders; delete the reminder to {task}; did i {task};
    tell me to {task} every {day}; snooze the reminder to {task}; what should i do on {day};
    add {task} to my to do list; mark {task} as done; read my to do list; what is on my calendar on {day};
    am i free at {time} on {day}; book a table for {number} at {time}; move my {time} meeting to {day};
    cancel everything on {day}; when is my next meeting; put {event} on {day} at {time}; when is {event};
    how many days until {event}; invite everyone to {event}; start the {device}; stop the {device};
    turn on the {device} at {time}; is the {device} on; run the {device} in the {room};
    set the {device} to {mood} mode; how long will the {device} take; schedule the {device} for {time};
    pause the {device}; send the {device} to the {room}; clean under the {furniture}; the {device} is stuck;
    find the {device}; open the {blind}; close the {blind}; open the {blind} in the {room} halfway;
    close the {blind} at {time}; set the {thermostat} to {degrees} degrees; make it warmer in the {room};
    turn the heating down; what does the {thermostat} say; lower the {thermostat} by {number} degrees;
    heat the {room} to {degrees} degrees by {time}; is the heating on in the {room}; lock the {door};
    unlock the {door}; is the {door} locked; did anyone open the {door}; show me the {door} camera; arm the {alarm};
    disarm the {alarm}; who is at the {door}; open the {door} for the delivery; is the {alarm} armed; open {skill};
    ask {skill} for a story; ask {skill} what is new; start {skill} in the {room}; stop {skill}; close {skill};
    enable {skill}; ask {skill} about {food}; tell {skill} to start over; ask {skill} for my {mood} plan;
    activate {scene}; start {scene} in the {room}; end {scene}; run {scene} at {time}; add the {lamp} to {scene};
    how do i cook {food}; how many calories are in {food}; what goes well with {food}; give me a recipe with {item};
    how long do i boil {food}; convert {number} cups to grams; what is {number} times {number}; flip a coin;
    roll the dice; what is the news from {city}; give me the headlines; how is traffic to {city}; how far is {city};
    next bus to {city}; when does {shop} open; when does {shop} close on {day}; is {shop} open now;
    find a {food} place near here; did {team} win; when do {team} play; what is the score of {team};
    remind me when {team} play; who plays {team} on {day}; tell me a joke; good morning; good night; thank you;
    what time is it; what day is it; repeat that; stop; yes please; no thanks; never mind; what can you do;
    speak slower; how many steps did i do; charge the {device}; help
    """,
    ";",
)

PERSONAL = split_items(
    """
    call {contact}; call {contact} on the {speaker}; video call {contact}; hang up and call {contact};
    ring {contact} at {time}; text {contact} that i am late; send a message to {contact};
    tell {contact} dinner is at {time}; read my messages from {contact}; message {contact} i will bring {item};
    remind me to call {contact} at {time}; put {contact} down for {day} at {time}; my name is {own_name};
    call me {own_first}; this is {own_name} speaking; add {contact} to my contacts; when is the birthday of {contact};
    call {own_phone}; my number is {own_phone}; my phone number is {own_phone}; text {contact_phone} that i am home;
    save {contact_phone} as {contact}; my email is {own_email}; my email address is {own_email};
    send the recipe to {contact_email}; email {contact_email} about {event}; i live at {own_address};
    my address is {own_address}; deliver it to {own_address}; order a taxi to {contact_address};
    navigate to {contact_address}; how do i get to {contact_address}
    """,
    ";",
)

_FILLERS = {
    slot: split_items(values, ",")
    for slot, values in {
        "lamp": "zentro lamp, zentro strip, pelda light, morva spotlight, reading lamp, ceiling light, luxo glow bulb",
        "room": "kitchen, living room, bedroom, hallway, bathroom, nursery, garage, study, sun room, attic",
        "colour": "warm white, amber, teal, violet, coral, ice blue, crimson, moss green",
        "mood": "quiet, focus, party, sleepy, sunday, cosy, gym, rainy day",
        "food": "pasta, rice, lentil soup, roast potatoes, pancake, egg, banana bread, dumpling, curry",
        "artist": "the copper larks, velvet harbour, mira solane, north of tulsen, the quiet engines, doctor marzipan",
        "song": "paper lanterns, seven slow rivers, borrowed thunder, glass kitchen, hello october, the last tram home",
        "station": "radio tulsen, harbour jazz, the gold hour, night owl radio, classic nine",
        "podcast": "the marrow report, history by the spoonful, two cups of physics, tall tales of tulsen",
        "speaker": "fenna speaker, kitchen speaker, fenna mini, sound bar, bedroom fenna",
        "item": "oat milk, brown rice, dish soap, cat litter, zillo coffee pods, rye bread, lemons, frozen peas",
        "shop": "marlow market, quillon hardware, the green barn, pelletier bakery, novo pharmacy",
        "city": "tulsen, port averil, greater hamsey, lake orrin, saint belmont, north wexley",
        "task": "water the ferns, take out the trash, feed the cat, take my pills, charge the quando bike",
        "event": "the school play, game night, the dentist, book club, the tulsen fair, parents evening",
        "device": "vexo vacuum, quando kettle, nimbi fan, dish washer, orlo humidifier, tarka mower, brillo oven",
        "furniture": "sofa, dining table, bunk bed, piano, coat rack",
        "blind": "orlo blinds, curtains, roof window, garage shutter, awning",
        "thermostat": "heatly thermostat, radiator, floor heating, heatly",
        "door": "front door, back door, garage door, cellar door, garden gate",
        "alarm": "vigilo alarm, house alarm, vigilo night guard, garage sensor",
        "skill": "word wizard, calm harbour, pocket chef, trivia tower, sleepy otter, budget buddy",
        "scene": "movie night, breakfast rush, deep work, candle dinner, holiday mode, early bird",
        "team": "the tulsen otters, averil united, the wexley comets, the orrin kings",
        "day": "monday, tuesday, wednesday, thursday, friday, saturday, sunday",
        "time": "seven, half past six, quarter to nine, seven thirty, ten past eight, noon, five forty five",
    }.items()
} | {
    "minutes": tuple(text.spoken_number(n) for n in (2, 3, 5, 8, 10, 12, 15, 20, 25, 45)),
    "percent": tuple(text.spoken_number(n) for n in range(10, 100, 10)),
    "degrees": tuple(text.spoken_number(n) for n in range(17, 25)),
    "number": tuple(text.spoken_number(n) for n in range(2, 13)),
}
_STREETS = ("larch", "maple", "harrow", "mill", "orchard", "station", "willow", "church", "quarry", "juniper")
_ROADS = ("street", "road", "avenue", "lane", "drive", "court")


@dataclass(frozen=True)
class _Person:
    """What a synthetic person says most, by which words, and what is personal about them and their
    two friends.
    """

    habits: list[str]
    tastes: dict[str, list[str]]
    facts: dict[str, list[str]]


def generate_rows(config: DemoConfig, seed: int) -> Iterator[SourceRow]:
    """Generate utterances of synthetic people, person by person; `text` is what is said,
    lower-case, and `audio` FLAC.

    What a person says and by which voice depends on the seed and the person's number alone. The
    samples of some voices differ in the last bits each time (see `voices`).

    Raises:
      ConfigError: the synthesiser is not installed.
    """
    for index in range(config.units):
        unit = f"person-{index:04d}"
        # What is said has a generator of its own: it may not depend on how long the synthesiser
        # spoke before.
        words_rng, sound_rng = (np.random.default_rng([seed, index, stream]) for stream in range(2))
        person = _person(words_rng)
        voice = voices.random_voice(words_rng)
        for number in range(config.utterances_per_unit):
            said = _utterance(person, words_rng)
            yield SourceRow(f"{unit}/{number:04d}", unit, said, render_recording(said, voice, sound_rng))


def _person(rng: np.random.Generator) -> _Person:
    habits = rng.choice(PATTERNS, _HABITS, replace=False).tolist()
    tastes = {slot: rng.choice(values, _TASTES, replace=False).tolist() for slot, values in _FILLERS.items()}
    own, *friends = (draw_facts(rng) for _ in range(3))
    known = {f"own_{key}": [own[key]] for key in own}
    known |= {f"contact_{key}": [friend[key] for friend in friends] for key in own}
    known["contact"] = [*known["contact_name"], *known["contact_first"]]
    return _Person(habits, tastes, known)


def draw_facts(rng: np.random.Generator) -> dict[str, str]:
    """Draw personal data of somebody who does not exist, as it is spoken."""
    first, last = rng.choice(text.list_names(), 2)
    digits = f"{rng.integers(201, 990)}55501{rng.integers(100):02d}"
    phone = text.spoken_digits(digits)
    house = text.spoken_number(int(rng.integers(1, 400)))
    return {
        "first": str(first),
        "name": f"{first} {last}",
        "phone": phone.replace("zero", "oh") if rng.random() < 0.5 else phone,
        "email": f"{first}{rng.choice([' dot ', ' '])}{last} at example dot {rng.choice(['com', 'org', 'net'])}",
        "address": f"{house} {rng.choice(_STREETS)} {rng.choice(_ROADS)}",
    }


def _utterance(person: _Person, rng: np.random.Generator) -> str:
    def filler(slot: re.Match[str]) -> str:
        if slot[1] in person.facts:
            return str(rng.choice(person.facts[slot[1]]))
        return str(rng.choice(person.tastes[slot[1]] if rng.random() < _HABIT_SHARE else _FILLERS[slot[1]]))

    if rng.random() < PERSONAL_SHARE:
        patterns: Sequence[str] = PERSONAL
    else:
        patterns = person.habits if rng.random() < _HABIT_SHARE else PATTERNS
    return _SLOT.sub(filler, str(rng.choice(patterns)))


def render_recording(said: str, voice: voices.Voice, rng: np.random.Generator) -> bytes:
    """Render the words in a quiet room: silence before and after, some echo, some noise, any
    loudness below full scale.
    """
    samples = voices.speak(said, voice).samples
    lead, tail = rng.uniform(0.05, 0.3, size=2) * RATE_HZ
    samples = np.pad(samples, (int(lead), int(tail)))
    if rng.random() < 0.5:
        echo = augment.reverberate(samples, rng) - samples
        samples += 0.3 * echo
    samples = augment.add_noise(samples, rng, snr_db=float(rng.uniform(18, 40)))
    return audio.encode_flac(samples * (rng.uniform(0.2, 0.9) / float(np.abs(samples).max())))
