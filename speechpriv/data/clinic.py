"""The synthetic clinic: doctors dictate about patients, and a patient is the unit, not the one who
speaks.

A doctor's voice is in the recordings of many patients, and a patient is dictated by one to three
doctors. Doctors of test patients dictate nobody who is trained on, so that accuracy is that on new
patients by new voices.

Nobody is real: as in the synthetic assistant corpus, voices are synthesised and telephone numbers
are of the kind reserved for fiction. What is dictated sounds like medicine and is none.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from speechpriv.corpus import Split
from speechpriv.data import demo, text, voices
from speechpriv.data.rows import SourceRow
from speechpriv.sections import ClinicConfig

PERSONAL_SHARE = 0.3  # of dictations name the patient, a relative, a day or a number
_HABIT_SHARE = 0.7  # of sentences are of a doctor's favourite patterns
_HABITS = 3  # favourites a section
_MOST_DOCTORS = 3  # of one patient
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Condition:
    """An illness: what patients with it say, what is seen, what is given, and what comes next."""

    name: str
    complaints: tuple[str, ...]
    findings: tuple[str, ...]
    drugs: tuple[str, ...]  # with dose and how often
    plans: tuple[str, ...]


def _condition(line: str) -> Condition:
    name, *lists = (part.strip() for part in line.split("|"))
    return Condition(name, *(demo.split_items(one, ",") for one in lists))


CONDITIONS = tuple(
    _condition(line)
    for line in demo.split_items(
        """
        high blood pressure | headache, dizziness, blurred vision
        | blood pressure is one fifty over ninety, blood pressure is one sixty two over ninety four
        | lisinopril ten milligrams once daily, amlodipine five milligrams once daily
        | recheck blood pressure at home, check kidney function, low salt diet;
        type two diabetes | increased thirst, fatigue, tingling in both feet
        | blood glucose is two hundred and ten, reduced sensation in both feet
        | metformin five hundred milligrams twice daily, insulin ten units at bedtime
        | check hemoglobin a one c, refer to the eye clinic, foot care was explained;
        asthma | shortness of breath, wheezing at night, dry cough
        | wheezing in both lungs, peak flow is reduced
        | albuterol inhaler two puffs as needed, fluticasone inhaler two puffs twice daily
        | repeat lung function test, avoid cold air, inhaler technique was reviewed;
        pneumonia | cough with fever, chest pain on breathing, chills
        | crackles at the right base, oxygen saturation is ninety three percent
        | amoxicillin five hundred milligrams three times daily, doxycycline one hundred milligrams twice daily
        | chest x ray today, plenty of fluids, repeat chest x ray;
        heart failure | swelling of the legs, shortness of breath on exertion, weight gain
        | pitting edema of both ankles, crackles at both lung bases
        | furosemide forty milligrams in the morning, carvedilol six milligrams twice daily
        | daily weight, echocardiogram, limit fluids;
        atrial fibrillation | palpitations, irregular heartbeat, fatigue
        | pulse is irregular, heart rate is one hundred and twelve
        | apixaban five milligrams twice daily, metoprolol fifty milligrams once daily
        | electrocardiogram today, echocardiogram, check thyroid function;
        low back pain | back pain, stiffness in the morning, pain down the left leg
        | straight leg raise is positive, tenderness over the lumbar spine
        | ibuprofen four hundred milligrams with food, naproxen two hundred and fifty milligrams twice daily
        | physical therapy, heat and stretching, stay active;
        migraine | throbbing headache, nausea, sensitivity to light
        | neurological exam is normal, neck is supple
        | sumatriptan fifty milligrams as needed, propranolol forty milligrams twice daily
        | keep a headache diary, avoid caffeine, rest in a dark room;
        reflux disease | heartburn, sour taste in the mouth, chronic cough
        | abdomen is soft, mild epigastric tenderness
        | omeprazole twenty milligrams before breakfast, famotidine twenty milligrams at bedtime
        | no late meals, raise the head of the bed, upper endoscopy;
        urinary tract infection | burning on urination, frequent urination, lower abdominal pain
        | suprapubic tenderness, urine dipstick is positive
        | nitrofurantoin one hundred milligrams twice daily, trimethoprim two hundred milligrams twice daily
        | urine culture, plenty of fluids, repeat urine test;
        osteoarthritis of the knee | knee pain, stiffness after rest, trouble climbing stairs
        | crepitus of the right knee, mild effusion of the left knee
        | acetaminophen one gram three times daily, diclofenac gel to the knee
        | x ray of both knees, physical therapy, weight loss was advised;
        low thyroid function | fatigue, weight gain, dry skin
        | thyroid is not enlarged, reflexes are slow
        | levothyroxine fifty micrograms once daily, levothyroxine seventy five micrograms once daily
        | check thyroid function, take it on an empty stomach, repeat blood test;
        depression | low mood, poor sleep, loss of appetite
        | affect is flat, no thoughts of self harm
        | sertraline fifty milligrams once daily, mirtazapine fifteen milligrams at bedtime
        | refer to counseling, sleep hygiene was discussed, walk every day;
        iron deficiency anemia | fatigue, pale skin, shortness of breath on exertion
        | conjunctiva are pale, hemoglobin is nine
        | ferrous sulfate three hundred milligrams once daily, folic acid one milligram once daily
        | check iron studies, refer for colonoscopy, repeat blood count
        """,
        ";",
    )
)
SECTIONS = {
    section: demo.split_items(patterns, ";")
    for section, patterns in {
        "complaint": """
            the patient complains of {complaint} for {duration}; presents with {complaint} for {duration};
            reports {complaint} and {complaint}; {complaint} for {duration} no fever; {complaint} is getting worse;
            {age} year old with {complaint} for {duration}; seen for {condition} with {complaint};
            history of {condition} now with {complaint}; denies chest pain reports {complaint}; {complaint} has improved
            """,
        "findings": """
            on examination {finding}; exam shows {finding}; {finding} otherwise normal; afebrile {finding};
            vital signs are stable {finding}; heart and lungs are normal {finding}; {finding} no acute distress;
            alert and oriented {finding}; general condition is good {finding}
            """,
        "medication": """
            continue {drug}; start {drug}; the patient takes {drug}; prescribed {drug}; change to {drug};
            impression {condition} start {drug}; assessment {condition} continue {drug}; tolerates {drug};
            no known allergies start {drug}; diagnosis {condition} prescribed {drug}
            """,
        "plan": """
            plan {plan} and {plan}; {plan} follow up in {interval}; plan {plan} return in {interval};
            {plan} and see me in {interval}; order {plan}; {plan} call if it gets worse; recommend {plan};
            review in {interval} {plan}; {plan} no change in treatment
            """,
    }.items()
}
PERSONAL = demo.split_items(
    """
    patient name is {name}; dictation on {name}; this is a note about {name}; patient {name};
    mister {last} was seen on {date}; missus {last} was admitted on {date}; date of visit {date};
    seen in clinic on {date}; discharged on {date}; medical record number {record}; chart number {record};
    {name} date of birth {birth}; date of birth is {birth}; {name} medical record number {record};
    call the patient at {phone}; her phone number is {phone}; his daughter {name} can be reached at {phone};
    the patient lives at {address}; home address is {address}; the patient is {old_age} years old;
    {old_age} year old patient; this is doctor {last}; dictated by doctor {last}; copy to doctor {last};
    spoke with her son {name}; wife {name} was present; member number {record}; next visit on {date}
    """,
    ";",
)
_MONTHS = demo.split_items(
    "january, february, march, april, may, june, july, august, september, october, november, december", ","
)
_ORDINALS = demo.split_items(
    "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth, eleventh, twelfth, thirteenth, "
    "fourteenth, fifteenth, sixteenth, seventeenth, eighteenth, nineteenth, twentieth, twenty first, twenty second, "
    "twenty third, twenty fourth, twenty fifth, twenty sixth, twenty seventh, twenty eighth",
    ",",
)
_COMMON = {
    "duration": demo.split_items(
        "two days, three days, one week, two weeks, a month, three months, several years", ","
    ),
    "interval": demo.split_items("one week, two weeks, four weeks, three months, six months, a year", ","),
}


@dataclass(frozen=True)
class _Doctor:
    """Who speaks: one voice, and patterns that are said most."""

    voice: voices.Voice
    habits: dict[str, list[str]]


@dataclass(frozen=True)
class _Patient:
    """Whom it is about: an illness or two, and the facts that no model may know."""

    conditions: list[Condition]
    facts: dict[str, str]


def generate_rows(config: ClinicConfig, seed: int, part_of: Callable[[str], Split]) -> Iterator[SourceRow]:
    """Generate dictations, patient by patient; `unit` is the patient, `text` what is said, and
    `audio` FLAC.

    What is said of a patient, by whom, depends on the seed, the patient's number and part, and the
    number of doctors.

    Args:
      config: how many.
      seed: of all that is drawn.
      part_of: the split that a patient falls to, by name: the doctors of either part are others.

    Raises:
      ConfigError: the synthesiser is not installed.
    """
    doctors = [_doctor(np.random.default_rng([seed, number, 2])) for number in range(config.doctors)]
    wards = {"test": doctors[: max(1, len(doctors) // 5)], "train": doctors[max(1, len(doctors) // 5) :]}
    for index in range(config.patients):
        unit = f"patient-{index:04d}"
        words_rng, sound_rng = (np.random.default_rng([seed, index, stream]) for stream in range(2))
        patient, ward = _patient(words_rng), wards[part_of(unit)]
        seen_by = words_rng.permutation(len(ward))[: words_rng.integers(1, _MOST_DOCTORS + 1)]
        for number in range(config.dictations_per_patient):
            doctor = ward[int(words_rng.choice(seen_by))]
            said = _dictation(patient, doctor, words_rng)
            yield SourceRow(f"{unit}/{number:04d}", unit, said, demo.render_recording(said, doctor.voice, sound_rng))


def draw_facts(rng: np.random.Generator) -> dict[str, str]:
    """Draw personal data of a patient who does not exist, as they are spoken."""
    known = demo.draw_facts(rng)
    first, last = (str(rng.choice(text.list_names(which))) for which in ("first_names", "last_names"))
    month, day = str(rng.choice(_MONTHS)), str(rng.choice(_ORDINALS))
    year = text.spoken_number(int(rng.integers(30, 100)))
    return {
        "name": f"{first} {last}",
        "last": last,
        "phone": known["phone"],
        "address": known["address"],
        "record": text.spoken_digits(f"000{rng.integers(10_000, 100_000)}"),
        "birth": f"{rng.choice(_MONTHS)} {rng.choice(_ORDINALS)} nineteen {year}",
        "date": f"the {day} of {month}" if rng.random() < 0.4 else f"{month} {day}",
        "old_age": text.spoken_number(int(rng.integers(90, 100))),
    }


def _doctor(rng: np.random.Generator) -> _Doctor:
    voice = voices.random_voice(rng)
    return _Doctor(voice, {name: rng.choice(said, _HABITS, replace=False).tolist() for name, said in SECTIONS.items()})


def _patient(rng: np.random.Generator) -> _Patient:
    drawn = rng.choice(len(CONDITIONS), int(rng.integers(1, 3)), replace=False)
    age = text.spoken_number(int(rng.integers(18, 90)))
    return _Patient([CONDITIONS[i] for i in drawn], draw_facts(rng) | {"age": age})


def _dictation(patient: _Patient, doctor: _Doctor, rng: np.random.Generator) -> str:
    """Two neighbouring sections of a visit, or one after a sentence that says whom it is about."""
    condition = patient.conditions[int(rng.integers(len(patient.conditions)))]
    start = int(rng.integers(len(SECTIONS) - 1))
    spoken = [_pattern(section, doctor, rng) for section in list(SECTIONS)[start : start + 2]]
    if rng.random() < PERSONAL_SHARE:
        spoken = [str(rng.choice(PERSONAL)), spoken[0]]
    drawn = _COMMON | {
        "complaint": condition.complaints, "finding": condition.findings, "drug": condition.drugs,
        "plan": condition.plans, "condition": (condition.name,),
    }  # fmt: skip

    def filler(slot: re.Match[str]) -> str:
        return str(rng.choice(drawn[slot[1]])) if slot[1] in drawn else patient.facts[slot[1]]

    return _SLOT.sub(filler, " ".join(spoken))


def _pattern(section: str, doctor: _Doctor, rng: np.random.Generator) -> str:
    return str(rng.choice(doctor.habits[section] if rng.random() < _HABIT_SHARE else SECTIONS[section]))
