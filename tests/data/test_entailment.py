"""The generated pairs: what is said of them is true in every model, and one sentence alone says nothing."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.data import load
from netprops.data.entailment import Grammar, balanced
from netprops.data.pairs import CLASSES


def ends(chain):
    """What is said of somebody of whom a word of the chain is said, for each word."""
    return [chain[height:] for height in range(len(chain))]


def truths(grammar):
    """(M, S): whether each sentence is true in each model in which there is something of every noun phrase.

    A model says of which kinds there is somebody: how far down a chain of nouns, with which adjectives, doing
    which verbs of each chain, if any. Written from the meaning of the words alone.
    """
    nouns = [names for chain in grammar.nouns for names in ends(chain)]
    verbs = [sum(deeds, ()) for deeds in product(*([(), *ends(chain)] for chain in grammar.verbs))]
    subsets = list(product(*([False, True] for word in grammar.adjectives if word)))
    adjectives = [word for word in grammar.adjectives if word]
    kinds = list(product(nouns, subsets, verbs))
    models = np.array(list(product([False, True], repeat=len(kinds))))

    def of_phrase(adjective, noun):
        return np.array(
            [noun in names and (not adjective or has[adjectives.index(adjective)]) for names, has, _ in kinds]
        )

    def doing(verb):
        return np.array([verb in deeds for _, _, deeds in kinds])

    for adjective, noun in product(grammar.adjectives, [chain[0] for chain in grammar.nouns]):
        models = models[models[:, of_phrase(adjective, noun)].any(axis=1)]
    found = []
    for quantifier, adjective, noun, verb in grammar.sentences():
        subject, does = of_phrase(adjective, noun), doing(verb)
        some, every = models[:, subject & does].any(axis=1), ~models[:, subject & ~does].any(axis=1)
        found.append({"all": every, "some": some, "no": ~some, "not all": ~every}[quantifier])
    return np.array(found).T


GRAMMARS = [
    Grammar(nouns=(("poodles", "dogs", "animals"),), verbs=(("sprint", "run", "move"),), adjectives=("",)),
    Grammar(nouns=(("dogs", "animals"),), verbs=(("run", "move"),), adjectives=("", "tall")),
    Grammar(nouns=(("dogs",),), verbs=(("run",),), adjectives=("", "tall", "young")),
    Grammar(nouns=(("dogs", "animals"), ("nurses",)), verbs=(("run",), ("talk",)), adjectives=("",)),
    Grammar(nouns=(("dogs",), ("nurses",)), verbs=(("run", "move"),), adjectives=("", "tall")),
]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_relations_are_those_of_every_model(grammar):
    true = truths(grammar).astype(np.int64)
    both = true.T @ true > 0  # there is a model in which both are true
    neither = true.T @ (1 - true) > 0  # ... in which the first is true and the second is not
    expected = np.where(~neither, 0, np.where(~both, 2, 1))
    found = grammar.relations()
    assert set(np.unique(found)) == {0, 1, 2}
    wrong = np.argwhere(found != expected)
    sentences = grammar.sentences()
    assert [(sentences[a], sentences[b], CLASSES[found[a, b]]) for a, b in wrong[:5]] == []


def test_examples_in_words():
    grammar = Grammar()
    sentences, relations = grammar.sentences(), grammar.relations()

    def relation(premise, hypothesis):
        return CLASSES[relations[sentences.index(premise), sentences.index(hypothesis)]]

    every = ("all", "", "dogs", "run")
    assert relation(every, ("some", "", "animals", "move")) == "entailment"
    assert relation(every, ("some", "young", "animals", "move")) == "entailment"
    assert relation(every, ("all", "tall", "poodles", "move")) == "entailment"
    assert relation(every, ("all", "", "animals", "move")) == "neutral"
    assert relation(every, ("no", "", "animals", "run")) == "contradiction"
    assert relation(every, ("not all", "", "poodles", "move")) == "contradiction"
    assert relation(every, ("no", "", "dogs", "sprint")) == "neutral"
    assert relation(every, ("some", "", "nurses", "run")) == "neutral"
    assert relation(("not all", "tall", "dogs", "run"), ("not all", "", "dogs", "sprint")) == "entailment"


@given(st.integers(3, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_balanced_pairs_tell_nothing_by_one_sentence(size, seed):
    rng = np.random.default_rng(seed)
    relations, weights = rng.integers(0, 3, (size, size)), rng.uniform(0.5, 2, (size, size))
    # each sentence has a pair of each class, so that a balance without zeros exists or is approached
    for k in range(3):
        relations[np.arange(size), (np.arange(size) + k) % size] = k
    found = balanced(relations, weights)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    for axis in (0, 1):
        shares = np.stack([(found * (relations == k)).sum(axis=axis) for k in range(3)])
        np.testing.assert_allclose(shares[0], shares.mean(axis=0), atol=0.02)


def test_a_sentence_that_cannot_be_balanced_gets_no_pairs():
    relations = np.array([[0, 1, 2, 0], [1, 2, 0, 0], [2, 0, 1, 0], [0, 0, 0, 0]])
    found = balanced(relations, np.ones((4, 4)))
    assert not found[3].any()
    assert not found[:, 3].any()
    np.testing.assert_allclose(found[:3, :3], 1 / 9)


@pytest.fixture(scope="module")
def data():
    return load("entailment", None)


def sentences(part):
    """Premise and hypothesis of each pair, as bytes of their words' halves, told apart by the segment."""
    inputs = part.inputs.numpy()
    premise = (inputs[..., 16:] == inputs[0, 0, 16:]).all(axis=2)
    there = inputs.any(axis=2)
    return [
        tuple(states[rows, :16].tobytes() for rows in (first, all_ & ~first))
        for states, first, all_ in zip(inputs, premise, there, strict=True)
    ]


def test_shapes_classes_and_balance(data):
    assert data.input_shape == (10, 32)
    assert (len(data.train), len(data.test)) == (3000, 3000)
    assert data.classes == ("entailment", "neutral", "contradiction")
    for part in (data.train, data.test):
        assert np.bincount(part.labels.numpy()).min() > 900
    assert data.digest == load("entailment", None).digest


def test_no_pair_is_in_both_parts_and_none_says_one_sentence_twice(data):
    train, test = (sentences(part) for part in (data.train, data.test))
    assert len({*train, *test}) == 6000
    assert all(first != second for first, second in train + test)


@pytest.mark.parametrize("which", [0, 1])
def test_neither_sentence_alone_says_the_class(data, which):
    """A table of the class that a sentence had most often is no better than guessing."""
    counts = {}
    for pair, label in zip(sentences(data.train), data.train.labels.tolist(), strict=True):
        counts.setdefault(pair[which], np.zeros(3))[label] += 1
    answers = [counts.get(pair[which], np.ones(3)).argmax() for pair in sentences(data.test)]
    assert np.mean(answers == data.test.labels.numpy()) < 0.37
