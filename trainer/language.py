"""A small synthetic instruction language whose preference data has a known truth.

People can read it: prompts ask about something in one of six places, completions are simple
sentences. Sentences come from Markov chains over words. Three chains, the styles A (good), B (bad)
and C (neutral), have grammar and nouns in common and share a part (`overlap`) of the way they
choose adjectives, adverbs and verbs; the rest of that choice is their own. So the style of any
text, a sampled one included, is exactly measurable: `true_reward` is its log-odds of style A
against style B.

A `Setting` says how a preference set and the warm-up corpus of a tiny model are drawn from this
language, and with which hyper-parameters to train: how on-policy each side is, how long, how
alike, how noisy, and who carries a format that the policy has never seen. `SETTINGS` holds
settings whose regime at the end of training is known by measurement over several seeds.

Texts depend on the setting and the seed alone. Standard library only.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

TOPICS: dict[str, tuple[str, ...]] = {
    "garden": ("pond", "hedge", "bee", "seed", "lawn", "rose", "fence", "robin"),
    "kitchen": ("oven", "loaf", "spoon", "kettle", "recipe", "cook", "soup", "apron"),
    "harbour": ("boat", "sailor", "rope", "gull", "pier", "lantern", "tide", "buoy"),
    "library": ("book", "reader", "shelf", "map", "letter", "desk", "poem", "page"),
    "workshop": ("hammer", "bench", "carpenter", "nail", "clock", "wheel", "saw", "hinge"),
    "mountain": ("trail", "ridge", "goat", "cabin", "river", "cloud", "climber", "valley"),
}
STYLES = ("A", "B", "C")
STYLE_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "adjective": {
        "A": ("bright", "calm", "careful", "clear", "fresh", "gentle", "kind", "steady"),
        "B": ("broken", "careless", "cruel", "dull", "muddy", "noisy", "sour", "stale"),
        "C": ("distant", "hidden", "green", "long", "plain", "round", "small", "wooden"),
    },
    "adverb": {
        "A": ("gladly", "neatly", "patiently", "warmly"),
        "B": ("badly", "clumsily", "lazily", "rudely"),
        "C": ("daily", "often", "slowly", "usually"),
    },
    "verb": {
        "A": ("feeds", "guides", "helps", "mends", "shelters", "teaches", "thanks", "welcomes"),
        "B": ("blames", "breaks", "drains", "ignores", "mocks", "scares", "spoils", "wastes"),
        "C": ("faces", "follows", "holds", "joins", "meets", "passes", "touches", "watches"),
    },
}
PART_OF_SPEECH = {
    word: part
    for part, by_style in STYLE_WORDS.items()
    for words in by_style.values()
    for word in words
}
DETERMINERS = ("the", "this", "each", "one")
CONNECTIVES = ("and", "while", "because")
ADVERB_RATE = 0.4
CONNECTIVE_RATE = 0.2
# Nouns of the prompt's own place; the others come from everywhere.
ON_TOPIC_RATE = 0.8
REQUESTS = (
    "Describe the {adjective} {noun} in the {topic}.",
    "Tell me about the {adjective} {noun} in the {topic}.",
    "What does the {adjective} {noun} do in the {topic}?",
    "Write a few words on the {adjective} {noun} in the {topic}.",
)
# What a formatted sentence starts with. Its words are in the vocabulary of every tokenizer trained
# on a warm-up corpus (the glossary has them), its use is not in any unformatted corpus.
MARK = "** Key point ** "

# Modest and nearly the same for every setting, so that data and warm-up make the regimes differ;
# what a method has of its own (beta, target margin) is left to the method's defaults.
TRAINING: dict[str, Any] = {
    "model": "tiny-qwen3",
    "method": "dpo",
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 8,
    "max_steps": 48,
    "eval_steps": 12,
    "tiny_warmup_steps": 150,
}

Row = dict[str, list[dict[str, str]]]


@dataclass(frozen=True)
class Setting:
    """One preference set, the warm-up corpus of its tiny model, and how to train on it.

    Parameters
    ----------
    name, description
        What it is called and what it shows.
    regime
        The regime of a DPO run at the end of training, known by measurement; None when open.
    pairs
        Number of training pairs.
    overlap
        Share of the choice of style words that the three styles have in common, in (0, 1).
    chosen_sentences, rejected_sentences
        Length of each side [sentences of about eight words].
    edits
        None draws the rejected side on its own; a number makes it a near-duplicate, the chosen
        text with that many style words replaced, then cut or continued in style B to its length.
    label_noise
        Probability that the two sides of a pair are exchanged.
    chosen_format, rejected_format, warm_up_format
        Share of the sentences that start with the format mark, on each side and in the warm-up;
        a mark absent from the warm-up is novel.
    warm_up_styles
        Shares of the styles A, B and C among the general documents of the warm-up corpus: how
        on-policy each side is.
    warm_up_documents
        Number of general documents in the warm-up corpus.
    warm_up_chosen, warm_up_rejected
        How often the corpus repeats each side of the pairs themselves (SFT on that side).
    training
        Recommended settings of the training, by the trainer's names.
    """

    name: str
    description: str
    regime: str | None
    pairs: int = 320
    overlap: float = 0.5
    chosen_sentences: int = 3
    rejected_sentences: int = 3
    edits: int | None = None
    label_noise: float = 0.0
    chosen_format: float = 0.0
    rejected_format: float = 0.0
    warm_up_format: float = 0.0
    warm_up_styles: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    warm_up_documents: int = 2000
    warm_up_chosen: int = 0
    warm_up_rejected: int = 0
    training: Mapping[str, Any] = field(default_factory=lambda: dict(TRAINING))


@cache
def tilt(style: str, part: str, previous: str) -> dict[str, float]:
    """Return how one chain's own choice of a word depends on the word before it.

    The tilts are part of the language, the same for every seed: each previous word prefers some
    successors to others by up to a factor of e squared.
    """
    words = tuple(PART_OF_SPEECH) if style == "shared" else STYLE_WORDS[part][style]
    words = tuple(word for word in words if PART_OF_SPEECH[word] == part)
    generator = random.Random(f"{style}/{part}/{previous}")
    weights = {word: math.exp(generator.uniform(-1.0, 1.0)) for word in words}
    total = sum(weights.values())
    return {word: weight / total for word, weight in weights.items()}


@cache
def transitions(style: str, part: str, previous: str, overlap: float) -> dict[str, float]:
    """Return P(word | previous word, part of speech) under a style; it sums to 1.

    A mixture: `overlap` of it is the chain that all styles share, over all words of the part of
    speech; the rest is the style's own, over its own words.

    Examples
    --------
    >>> chain = transitions("A", "verb", "pond", overlap=0.5)
    >>> round(sum(chain.values()), 9), chain["helps"] > chain["mocks"]
    (1.0, True)
    """
    shared = tilt("shared", part, previous)
    own = tilt(style, part, previous)
    return {
        word: overlap * weight + (1.0 - overlap) * own.get(word, 0.0)
        for word, weight in shared.items()
    }


def draw_style_word(
    style: str, part: str, previous: str, overlap: float, generator: random.Random
) -> str:
    """Return a word drawn from the transitions."""
    chain = transitions(style, part, previous, overlap)
    return generator.choices(list(chain), list(chain.values()))[0]


def draw_sentence(style: str, topic: str, overlap: float, generator: random.Random) -> list[str]:
    """Return the words of a sentence: one clause, or two joined by a connective."""
    words: list[str] = []
    while True:
        for role in ("subject", "object"):
            words.append(generator.choice(DETERMINERS))
            words.append(draw_style_word(style, "adjective", words[-1], overlap, generator))
            place = topic if generator.random() < ON_TOPIC_RATE else generator.choice(list(TOPICS))
            words.append(generator.choice(TOPICS[place]))
            if role == "subject":
                if generator.random() < ADVERB_RATE:
                    words.append(draw_style_word(style, "adverb", words[-1], overlap, generator))
                words.append(draw_style_word(style, "verb", words[-1], overlap, generator))
        if generator.random() >= CONNECTIVE_RATE:
            return words
        words.append(generator.choice(CONNECTIVES))


def edit(
    sentences: list[list[str]], edits: int, overlap: float, generator: random.Random
) -> list[list[str]]:
    """Return the sentences with that many style words replaced by words only style B favours."""
    copy = [list(sentence) for sentence in sentences]
    places = [
        (row, column)
        for row, sentence in enumerate(copy)
        for column, word in enumerate(sentence)
        if word in PART_OF_SPEECH
    ]
    for row, column in generator.sample(places, min(edits, len(places))):
        word = copy[row][column]
        part = PART_OF_SPEECH[word]
        own = {
            other: weight
            for other, weight in tilt("B", part, copy[row][column - 1]).items()
            if other != word
        }
        copy[row][column] = generator.choices(list(own), list(own.values()))[0]
    return copy


def render(sentences: Iterable[list[str]], format_share: float, generator: random.Random) -> str:
    """Return the text of the sentences, each with the format mark at the given rate."""
    parts = []
    for words in sentences:
        mark = MARK if generator.random() < format_share else ""
        parts.append(f"{mark}{' '.join(words).capitalize()}.")
    return " ".join(parts)


def draw_prompts(count: int, generator: random.Random) -> list[tuple[str, str]]:
    """Return (topic, request) of that many prompts; none repeats before all have been used."""
    everything = [
        (topic, request.format(adjective=adjective, noun=noun, topic=topic))
        for topic, nouns in TOPICS.items()
        for noun in nouns
        for adjective in STYLE_WORDS["adjective"]["C"]
        for request in REQUESTS
    ]
    prompts: list[tuple[str, str]] = []
    while len(prompts) < count:
        prompts += generator.sample(everything, min(count - len(prompts), len(everything)))
    return prompts


def conversation(prompt: str, completion: str) -> list[dict[str, str]]:
    """Return one exchange as messages."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]


def make_pairs(setting: Setting, seed: int, n: int | None = None) -> list[Row]:
    """Return n preference pairs (the setting's own number when None) as conversational rows.

    Every row has "prompt", "chosen" and "rejected", each a list of messages. The first k of n
    pairs are the same for every n >= k.
    """
    count = setting.pairs if n is None else n
    prompts = draw_prompts(max(count, 1024), random.Random(f"prompts/{setting.name}/{seed}"))
    rows: list[Row] = []
    for index, (topic, request) in enumerate(prompts[:count]):
        generator = random.Random(f"pair/{setting.name}/{seed}/{index}")
        chosen, rejected = draw_sides(setting, topic, generator)
        if generator.random() < setting.label_noise:
            chosen, rejected = rejected, chosen
        prompt, answer = conversation(request, chosen)
        rows.append(
            {"prompt": [prompt], "chosen": [answer], "rejected": conversation("", rejected)[1:]}
        )
    return rows


def draw_sides(setting: Setting, topic: str, generator: random.Random) -> tuple[str, str]:
    """Return the texts of a good and a bad completion of one prompt."""
    overlap = setting.overlap
    good = [draw_sentence("A", topic, overlap, generator) for _ in range(setting.chosen_sentences)]
    bad = [] if setting.edits is None else edit(good, setting.edits, overlap, generator)
    bad = bad[: setting.rejected_sentences]
    while len(bad) < setting.rejected_sentences:
        bad.append(draw_sentence("B", topic, overlap, generator))
    return (
        render(good, setting.chosen_format, generator),
        render(bad, setting.rejected_format, generator),
    )


def warmup_texts(setting: Setting, seed: int) -> list[list[dict[str, str]]]:
    """Return the warm-up corpus: a glossary, general exchanges, and repeats of the pairs' sides.

    The glossary names every word of the language, the format's too, in no useful order: a
    tokenizer trained on the corpus then has a token for each.
    """
    generator = random.Random(f"warm-up/{setting.name}/{seed}")
    documents = [conversation("List the words that you know.", glossary()) for _ in range(2)]
    lengths = (setting.chosen_sentences, setting.rejected_sentences)
    for topic, request in draw_prompts(setting.warm_up_documents, generator):
        style = generator.choices(STYLES, setting.warm_up_styles)[0]
        sentences = [
            draw_sentence(style, topic, setting.overlap, generator)
            for _ in range(generator.choice(lengths))
        ]
        text = render(sentences, setting.warm_up_format, generator)
        documents.append(conversation(request, text))
    pairs = make_pairs(setting, seed)
    for side, repeats in (
        ("chosen", setting.warm_up_chosen),
        ("rejected", setting.warm_up_rejected),
    ):
        documents += [row["prompt"] + row[side] for row in pairs] * repeats
    return documents


def glossary() -> str:
    """Return every word of the language once, in alphabetical order."""
    words = {*DETERMINERS, *CONNECTIVES, *TOPICS, *PART_OF_SPEECH, *MARK.split()}
    words |= {noun for nouns in TOPICS.values() for noun in nouns}
    words |= {determiner.capitalize() for determiner in DETERMINERS}
    return " ".join(sorted(words))


def write(setting: Setting, seed: int, directory: Path) -> tuple[Path, Path]:
    """Write `pairs.jsonl` (prompt, chosen, rejected) and `warmup.jsonl` (messages); return both."""
    directory.mkdir(parents=True, exist_ok=True)
    pairs, corpus = directory / "pairs.jsonl", directory / "warmup.jsonl"
    documents = [{"messages": messages} for messages in warmup_texts(setting, seed)]
    for path, rows in ((pairs, make_pairs(setting, seed)), (corpus, documents)):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
    return pairs, corpus


def true_reward(text: str, overlap: float = 0.5) -> float:
    """Return the log-odds of style A against style B of a text [nats].

    Only the choice of adjectives, adverbs and verbs differs between the styles, so only those
    words count, each given the word before it; anything outside the language counts 0.

    Examples
    --------
    >>> true_reward("The kind pond helps this calm bee.") > 0.0
    True
    >>> true_reward("The cruel pond mocks this stale bee.") < 0.0
    True
    >>> true_reward("Something else.")
    0.0
    """
    words = text.lower().replace(".", " ").split()
    reward = 0.0
    for previous, word in pairwise(words):
        part = PART_OF_SPEECH.get(word)
        if part is not None:
            reward += math.log(
                transitions("A", part, previous, overlap)[word]
                / transitions("B", part, previous, overlap)[word]
            )
    return reward


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            name="demo",
            description="One data set on which methods part ways: both sides use a format that "
            "the policy knows but seldom uses, and the policy has met the chosen style more often "
            "than the rejected one.",
            regime="both_fall",
            chosen_format=1.0,
            rejected_format=1.0,
            warm_up_format=0.05,
            warm_up_styles=(0.4, 0.2, 0.4),
            training=TRAINING | {"learning_rate": 2e-4},
        ),
        Setting(
            name="ideal",
            description="The policy's habits are the rejected style; the chosen style is new to "
            "it: chosen rises, rejected falls.",
            regime="ideal",
            warm_up_styles=(0.0, 0.8, 0.2),
            training=TRAINING | {"learning_rate": 7e-5},
        ),
        Setting(
            name="both_rise",
            description="Both sides use a format that the policy has never seen, the chosen side "
            "in every sentence, the rejected side in half of them: learning the format lifts both.",
            regime="both_rise",
            overlap=0.7,
            chosen_format=1.0,
            rejected_format=0.5,
        ),
        Setting(
            name="both_fall",
            description="The policy was fine-tuned on the chosen texts themselves; the rejected "
            "ones are near-duplicates, longer by a sentence: both fall.",
            regime="both_fall",
            edits=5,
            rejected_sentences=4,
            warm_up_documents=1000,
            warm_up_chosen=4,
        ),
    )
}
