"""English inflection: words that are forms of one another, and words that only look so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_plugins.english_forms import forms

SAME = """
run ran running runs;city cities;try tries tried trying;hope hoping hoped hopes;hop hopping hopped hops
dance dancing dances danced;make making makes made;box boxes boxing;watch watches watched;potato potatoes;hero heroes
bus buses;decide decided deciding;create created creating;organize organizing organized;control controlled controlling
travel travelled traveled traveling;add added adding adds;egg eggs;fall falling fell;use used using uses
agree agreed agreeing agrees;see saw seen seeing sees;play playing played plays;fly flies flew flying;die dying died dies
lie lying lay;tie tied tying ties;movie movies;dish dishes;stir stirring stirred;catch caught catching;throw threw thrown
enjoy enjoyed enjoying;study studies studying;write writing wrote written;kiss kisses kissing kissed;buzz buzzes buzzing
house houses housing;glass glasses;tree trees;bee bees;free freed freeing;canoe canoes canoeing;ski skis skiing skied
panic panicked panicking;child children;woman women;tooth teeth;knife knives;leaf leaves;leave leaves left;life lives
live lives lived;criterion criteria;good better best;big biggest;wedding weddings;evening evenings;lens lenses;quiz quizzes
be is are was were been being;go goes went gone;do does did done;have has had;eye eyes;shoe shoes;pie pies;age ageing aging
wolf wolves;person people;analysis analyses;gas gases;photo photos;begin began begun beginning;sing sang sung singing
tall taller tallest;thin thinner;simple simpler;pretty prettier;red redder reddest;menu menus;plateau plateaus plateaux
workman workmen;chairman chairmen;salesman salesmen;schoolchild schoolchildren;spokesperson spokespeople;bookshelf bookshelves
penknife penknives;werewolf werewolves;eyetooth eyeteeth;midwife midwives;repay repaid;mislead misled;oversee oversaw overseen
misunderstand misunderstood;outrun outran;foretell foretold;unwind unwound;inlay inlaid;interweave interwove interwoven
underlie underlay;withhold withheld;slay slew slain;synthesis syntheses;emphasis emphases;larva larvae;formula formulae
"""
OTHER = """
policy police;organ organization;universe university;even evening;new news;general generous;car care;star stare
plan plane;hop hope;past paste;bar bare;scar scare;human humane;breath breathe;cloth clothe;moral morale;quit quite
caring car;hoping hop;staring star;us use;as ass;mass mas;bus bu;see seed;be bee;be bed;princess prince;his hi;is i
wing w;thing th;king k;need ne;dying dye;ceiling ceil;universe universal;run ruin;sing sin;glass glas;add ad;adding ad
lens len;rugged rug;ragged rag;wicked wick;pudding pud;species specie;physics physic;mars mar;hundred hundr;doing doe
ramen raman;omen oman;unless unlit;result rely;bus bui
"""


def lines(text):
    return [line.split() for line in text.replace("\n", ";").strip(";").split(";")]


@pytest.mark.parametrize("group", lines(SAME), ids=lambda group: group[0])
def test_forms_of_one_word_meet(group):
    lemma, *inflected = group
    assert [word for word in inflected if lemma not in forms(word)] == []


@pytest.mark.parametrize("pair", lines(OTHER), ids=lambda pair: pair[0])
def test_other_words_do_not(pair):
    assert forms(pair[0]).isdisjoint(forms(pair[1]))


@given(st.text(max_size=12))
def test_every_word_is_a_form_of_itself_and_no_form_is_empty(word):
    assert word in forms(word)
    assert word == "" or "" not in forms(word)
