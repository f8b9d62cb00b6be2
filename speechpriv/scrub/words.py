"""Vocabularies that several rules share."""


def word_set(words: str) -> frozenset[str]:
    """Return the words of a literal, for vocabularies that read better as text than as lists."""
    return frozenset(words.split())


# Words of a closed class: no part of a name, a password or a host.
FUNCTION = word_set(
    "a an the this that these those my your his her its our their i i'm i'd i'll i've we've you you're he she it it's "
    "we we're they me him us them who what when where which why how is are was were be been am do does did don't has "
    "have had can can't could will would shall should may might must not no yes yeah ok okay please thanks thank "
    "hello hi hey and or but if so because as at by for from in into of off on onto out over to up down with without "
    "about after again before now then than too very just also here there um uh er erm that's whose haven't isn't "
    "wasn't won't doesn't didn't since until while during between both each hers mine cause"
)
# Words that are no part of a name, a mailbox or a host: the closed classes, and what carries those.
STOP = FUNCTION | word_set(
    "today tomorrow tonight yesterday morning afternoon evening later back call calling called text texting message "
    "email e-mail mail send sent contact write reach reply forward speak speaking talk phone number account address "
    "website site page web url link go open visit visiting browse navigate launch check see find search look looking "
    "get use using try type enter spell spelled spelt need want like live name names date born new old every sorry "
    "echo sign add change set tell ask saying said wrong right correct missing hard required mandatory taken unknown "
    "invalid username first last middle password passport pin card sort routing zip postcode"
)
DETERMINERS = word_set("a the my your his her our their this that each every last next new missed cell mobile pay")
PERSONS = word_set(
    "i we he she they i'm we're he's she's they're wife husband mother father mom mum dad son daughter sister brother "
    "grandmother grandfather grandma grandpa grandad granddad gran nan granny uncle aunt patient client customer"
)
HESITATIONS = word_set("um uh er erm")
QUESTIONS = word_set("who who's when where was were what which how is")
MEDIA = word_set("play playing watch watching listen stream shuffle queue song songs album movie film lyrics")
# After these words a number is an amount.
MEASURES = word_set(
    "seconds minute minutes min mins hour hours day days week weeks month months year years o'clock am pm a.m "
    "p.m degrees degree celsius fahrenheit percent dollars dollar bucks pounds euros cents pence miles mile meters "
    "metres feet foot inches kilometers kilometres km kilograms kilos kilo grams ounces liters litres calories times "
    "plus minus divided multiplied point people steps million billion trillion star way blocks quid pounds kilometer "
    "watts volts lumens percent reps laps pages points"
)
ROLES = word_set(
    "nurse captain sergeant officer miss ms coach uncle aunt auntie friend brother sister wife husband mom mum mother "
    "dad father son daughter boss colleague neighbour neighbor cousin girlfriend boyfriend partner client customer "
    "patient roommate nephew niece grandma grandpa grandmother grandfather landlord lawyer tenant teacher therapist "
    "dentist manager assistant plumber babysitter"
)
