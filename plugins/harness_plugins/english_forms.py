"""Which English words are forms of one another: by inflection alone, so that `policy` is not `police`.

A stemmer will not do: Porter's takes `organization` for `organ`, and what it takes off (the e of `paste`) makes words
equal that are not. Here a word stands for itself and for every word it can be an inflected form of: `hoping` for `hope`,
`boxes` for `box` and `boxe`, `lives` for `live` and `life`. Regular endings (-s, -es, -ies, -ed, -ied, -ing, doubled
consonants) are undone where Porter's second stemmer would (https://snowballstem.org/algorithms/english/stemmer.html,
steps 1a and 1b); what is irregular, and common comparatives, is in a table.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

_IRREGULAR = """
be am is are was were been being;have has had having;do does did done doing;go goes went gone going
arise arose arisen;awake awoke awoken;bear bore borne born;beat beaten;become became;begin began begun;bend bent
bind bound;bite bit bitten;bleed bled;blow blew blown;break broke broken;breed bred;bring brought;build built;burn burnt
buy bought;can could;catch caught;choose chose chosen;cling clung;come came;creep crept;deal dealt;die dying;dig dug
draw drew drawn;dream dreamt;drink drank drunk;drive drove driven;dwell dwelt;dye dyeing;eat ate eaten;fall fell fallen
feed fed;feel felt;fight fought;find found;flee fled;fling flung;fly flew flown;forbid forbade forbidden
foresee foresaw foreseen;forget forgot forgotten;forgive forgave forgiven;freeze froze frozen;get got gotten
give gave given;grind ground;grow grew grown;hang hung;hear heard;hide hid hidden;hold held;keep kept;kneel knelt
know knew known;lay laid;lead led;lean leant;leap leapt;learn learnt;leave left;lend lent;lie lay lain lying;light lit
lose lost;make made;may might;mean meant;meet met;mistake mistook mistaken;mow mown;overcome overcame;pay paid
prove proven;ride rode ridden;ring rang rung;rise rose risen;run ran;say said;see saw seen;seek sought;sell sold
send sent;sew sewn;shake shook shaken;shine shone;shoot shot;show shown;shrink shrank shrunk;sing sang sung
sink sank sunk;sit sat;sleep slept;slide slid;smell smelt;sow sown;speak spoke spoken;speed sped;spell spelt
spend spent;spill spilt;spin spun;spit spat;spoil spoilt;spring sprang sprung;stand stood;steal stole stolen;stick stuck
sting stung;stink stank stunk;strew strewn;stride strode;strike struck stricken;string strung;strive strove striven
swear swore sworn;sweep swept;swell swollen;swim swam swum;swing swung;take took taken;teach taught;tear tore torn
tell told;think thought;throw threw thrown;tie tying;tread trod trodden;undergo undergoes underwent undergone
understand understood;undertake undertook undertaken;undo undid undone;uphold upheld;wake woke woken;wear wore worn
weave wove woven;weep wept;will would;win won;wind wound;withdraw withdrew withdrawn;write wrote written;wring wrung
rewrite rewrote rewritten;rebuild rebuilt;retell retold;overtake overtook overtaken;outgrow outgrew outgrown
man men;woman women;child children;foot feet;tooth teeth;goose geese;mouse mice;ox oxen;louse lice;person people
fisherman fishermen;fireman firemen;policeman policemen;policewoman policewomen;businessman businessmen
gentleman gentlemen;craftsman craftsmen;snowman snowmen;grandchild grandchildren
leaf leaves;life lives;wife wives;knife knives;wolf wolves;half halves;shelf shelves;self selves;thief thieves
loaf loaves;calf calves;elf elves;scarf scarves;hoof hooves;wharf wharves;dwarf dwarves;sheaf sheaves
bus busses;quiz quizzes;axis axes;axe axes;analysis analyses;basis bases;crisis crises
thesis theses;hypothesis hypotheses;oasis oases;diagnosis diagnoses;phenomenon phenomena;criterion criteria
bacterium bacteria;medium media;datum data;curriculum curricula;stimulus stimuli;fungus fungi;cactus cacti
alumnus alumni;nucleus nuclei;radius radii;index indices;matrix matrices;appendix appendices;vertex vertices
good better best;bad worse worst;ski skis skied;free freed;far farther farthest further furthest;little less least;many more most
big bigger biggest;large larger largest;small smaller smallest;old older oldest elder eldest;new newer newest
young younger youngest;high higher highest;low lower lowest;long longer longest;short shorter shortest
great greater greatest;strong stronger strongest;weak weaker weakest;fast faster fastest;slow slower slowest
early earlier earliest;late later latest;near nearer nearest;easy easier easiest;hard harder hardest
happy happier happiest;warm warmer warmest;cold colder coldest;hot hotter hottest;cool cooler coolest
bright brighter brightest;dark darker darkest;light lighter lightest;heavy heavier heaviest;deep deeper deepest
wide wider widest;rich richer richest;poor poorer poorest;cheap cheaper cheapest;clean cleaner cleanest
clear clearer clearest;fresh fresher freshest;sweet sweeter sweetest;busy busier busiest;safe safer safest
tall taller tallest;thin thinner thinnest;thick thicker thickest;soft softer softest;loud louder loudest
quiet quieter quietest;sharp sharper sharpest;smooth smoother smoothest;narrow narrower narrowest;brave braver bravest
simple simpler simplest;clever cleverer cleverest;pretty prettier prettiest;lovely lovelier loveliest
sunny sunnier sunniest;funny funnier funniest;lucky luckier luckiest;healthy healthier healthiest;wise wiser wisest
tiny tinier tiniest;dry drier driest;wet wetter wettest;red redder reddest;calm calmer calmest;nice nicer nicest
gentle gentler gentlest;quick quicker quickest;steep steeper steepest;rough rougher roughest;kind kinder kindest
bid bade bidden;cling clung;hew hewn;melt molten;mow mown;saw sawn;shear shorn;shave shaven;slay slew slain
slink slunk;smite smote smitten;spring sprung;withhold withheld;withstand withstood;unwind unwound;forgo forwent forgone
larva larvae;formula formulae;nebula nebulae;antenna antennae;vertebra vertebrae;alga algae;genus genera;corpus corpora
memorandum memoranda;millennium millennia;aquarium aquaria;symposium symposia;stratum strata;addendum addenda
bureau bureaux;plateau plateaux;tableau tableaux;penny pence;syllabus syllabi;terminus termini;focus foci;vortex vortices
menu menus;guru gurus;emu emus;haiku haikus;gnu gnus;tutu tutus;bayou bayous;caribou caribous
"""

_COMPOUNDS = {"men": "man", "children": "child", "people": "person", "wives": "wife", "knives": "knife",
              "shelves": "shelf", "selves": "self", "wolves": "wolf", "teeth": "tooth", "feet": "foot"}  # fmt: skip
"""Plurals that longer words end in, of three letters more at least: `workmen`, `bookshelves`, not `ramen`."""

_PREFIX = re.compile("(?:fore|inter|in|mis|out|over|re|under|un|up)(?=...)")
"""What may stand before an irregular verb: `mis|led`, `over|saw`."""

_NOT_INFLECTED = """
news atlas cosmos bias andes his this its as us is was has does gas yes inning outing canning herring earring evening
morning ceiling wedding during nothing something anything everything being dying lying tying
pudding lens physics mathematics politics economics series species mars paris tennis iris doing
hundred sacred naked wicked rugged ragged hatred kindred darling sibling shilling sterling duckling inkling
"""
_WHOLE = frozenset(_NOT_INFLECTED.split())
"""Words that look inflected and are not, or not in the regular way."""

_REGION = re.compile("[aeiouy][^aeiouy]")
_SHORT = re.compile(r"[^aeiouy]*[aeiouy][^aeiouywx]")
_DOUBLED = re.compile(r"([bdfglmnprstz])\1$")


@cache
def _lemmas() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in _IRREGULAR.replace("\n", ";").strip(";").split(";"):
        lemma, *inflected = line.split()
        for form in inflected:
            found[form] = found.get(form, frozenset()) | {lemma}
    return found


@lru_cache(maxsize=1 << 16)
def forms(word: str) -> frozenset[str]:
    """What a word in lower case can be a form of, itself included. Two words are forms of one where these meet."""
    found = {word} | _irregular(word)
    for base in (word, _without_s(word)):
        if base is not None:
            found |= {base, *_without_ed_ing(base)}
    return frozenset(found | set(_without_es(word)))


def _irregular(word: str) -> frozenset[str]:
    """By the table, also behind a prefix (`misled`) and at the end of a compound (`workmen`)."""
    prefix = _PREFIX.match(word)
    behind = _lemmas().get(word[prefix.end() :], ()) if prefix else ()
    compounds = (word[: -len(many)] + one for many, one in _COMPOUNDS.items() if word[3:].endswith(many))
    return _lemmas().get(word, frozenset()).union((prefix[0] + lemma for lemma in behind) if prefix else (), compounds)


def _without_s(word: str) -> str | None:
    """`dog` of `dogs`, but nothing of `glass`, `bus`, `gas`."""
    ends = word.endswith("s") and (word.endswith("eaus") or not word.endswith(("ss", "us")))
    plural = ends and word not in _WHOLE
    return word[:-1] if plural and re.search("[aeiouy]", word[:-2]) else None


def _without_es(word: str) -> tuple[str, ...]:
    if word.endswith("ies") and len(word) > 3:
        return (word[:-3] + "y",)
    if word.endswith("ses") and len(word) > 4:
        return (word[:-2], word[:-2] + "is")  # `syntheses`
    return (word[:-2],) if word.endswith(("xes", "zes", "ches", "shes", "oes")) and len(word) > 4 else ()


def _without_ed_ing(word: str) -> tuple[str, ...]:
    stem = next((word[: -len(suffix)] for suffix in ("ing", "ed") if word.endswith(suffix)), "")
    if word in _WHOLE or not re.search("[aeiouy]", stem):
        return ()
    if word.endswith("eed"):
        return (word[:-1],) if len(stem) >= _region(word) else ()
    if word.endswith("ied"):
        return (stem, stem[:-1] + "y", stem + "e")
    if _SHORT.fullmatch(stem):
        return (stem + "e",)  # the consonant would have been doubled, had there been no e
    if _DOUBLED.search(stem):
        return (stem,) if len(stem) == 3 and stem[0] in "aeo" else (stem, stem[:-1])
    return (stem, stem[:-1]) if stem.endswith("ck") else (stem, stem + "e")


def _region(word: str) -> int:
    """Where what follows the first consonant behind a vowel begins: Porter's R1."""
    found = _REGION.search(word)
    return found.end() if found else len(word)
