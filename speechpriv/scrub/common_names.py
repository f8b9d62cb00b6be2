"""The lists of names, and which of them are words too: may, mark, bill, king."""

import unicodedata
from functools import cache

from faker.providers.person import de_DE, en_GB, en_IN, en_NG, en_NZ, en_US, es_ES, fr_FR, it_IT, pl_PL, pt_BR

from speechpriv.scrub.words import word_set

_PROVIDERS = (en_US, en_GB, en_IN, en_NG, en_NZ, de_DE, es_ES, fr_FR, it_IT, pl_PL, pt_BR)

# Names that are also words: believed beside another name, after "my name is", capitalised, or where
# a phrase ends.
COMMON = word_set(
    "abbey ale alexa amber angel april aria art ash asia august aura autumn bacon bail baker ball banks baptist bar "
    "barber baron basil bass bath bay bean beard beau beer bell berry best bill birch bird bishop black blanc "
    "blessing bond booth branch brandy bravo bridges bright brook brooklyn brooks brown buck buddy bull burns burr "
    "bush butcher butler cam camps canals cannon carpenter case cases chad chambers chance char charity chase che "
    "chelsea cherry china ching chip christian christmas church clay cliff colon combs comfort company contractor "
    "cook cooper coral cord corona costa cotton cousin crane cross crystal curry dakota dale das dash date dawn day "
    "de dean deep destiny dev diamond dick din doctor doe downs duke earl easter ebony eco eden edit elm else english "
    "eta faith fan farmer field fields finch fisher flood flowers fo font foot ford forest forum foster fox frank "
    "freeman french frost fry gala gamble garde gates gay gee gene georgia german ginger glass glen golden good gore "
    "grace grande grant graves gray green grit gross guard guy hale hall ham hardy harm harmony harsh hart hay hazel "
    "heath heather herb herd hill hills ho holder holiday holly hood hook hope horn house houston hull hunt hunter "
    "india ireland iris israel ivy jade jam jan jarvis jay jean jersey jesus jolly joy june junior junk key killer "
    "king knight lad lake lamb lamp lancaster lance lane law le leone li lily lima lincoln little london long lord "
    "lore love low lowe loyal lucky madison madrid major mall mane mans mar marine mark marks marsh mas mason master "
    "mate max may mayo meadows melody mercedes mercer merchant merry meta milan miles miller mills mir misty mona "
    "monaco monk monte moon more moss noble norm north oak olive om orchard orlando oven pace pack page pages pal "
    "parent paris park parks pascal pastor patience patty peace peacock peer penny pepper per petty philippine "
    "phoenix pi pier pierce pike piper pitts plaza pol polo pope poppy porter porto post potter power powers precious "
    "price priest prince rain rainbow ram raven read reader real rex rice rich riddle ring river rivers roach robin "
    "rock roman rose rosemary rush rust saffron sage sales salmon samson sandy sane sans savage sellers sen sha sharp "
    "shepherd sherry shields short sierra silk skinner skip slater small smart snow sol sole sparks spears star stark "
    "stars steer stone storey storm street strong sue summer summers sur swift sydney tab tai tailor tan tank tanner "
    "till tip torrent trace trent trinidad trinity troy urban valentine victor villa viola violet virginia walker "
    "wall walls ware warmer warner warrior washington waters watt watts way weaver weeks wells west white whitehouse "
    "will willow wills winter winters wise wolf wood woods york young zion"
)
# Of these, the ones that seldom are a surname even right after a first name ("tell anna good
# night").
LOOSE = word_set(
    "may will long little good best read day short small love more way date power price page case house mark else till "
    "post street low real sales pages low reader edit ring per star rain chance"
)
# First names, long and short, that the lists leave out.
_MORE = word_set(
    "skyler josie jen lizzie meg tess becca deb polly betsy bess susie suzy trish lexi leia matt mick mickey zach "
    "zack benny sammy ted teddy timmy joey dick richie robbie rob pat pete geoff gabe donny doug ed ernie freddie gus "
    "hal hank ike ken kenny kev len lenny lou louie manny marty mel mitch mo ned norm ollie ozzy phil ralphie reggie "
    "rod russ seb sid stan stevie stu trev vic vince vinny walt wes muhammad aisha raj wei li mei chen yuki hiroshi "
    "kenji dmitri kwame kofi ama nkechi chioma emeka ngozi siobhan aoife saoirse will may"
)


@cache
def list_names() -> tuple[frozenset[str], frozenset[str]]:
    """List first names, and all names, of Faker's lists with and without accents, and of the words
    that are names too.
    """
    providers = [module.Provider for module in _PROVIDERS]
    first = _plain(name for provider in providers for name in provider.first_names) | _MORE
    last = _plain(name for provider in providers for name in provider.last_names)
    return first, first | last | COMMON


def _plain(found: object) -> frozenset[str]:
    lower = [name.lower() for name in found]  # type: ignore[attr-defined]
    return frozenset(lower) | {_without_accents(name) for name in lower}


def _without_accents(name: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
