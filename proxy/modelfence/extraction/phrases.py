"""Phrases of prompts that make training data: a weight each, and never a block by itself.

Only the names of the signals are kept. A quotation, a question about such prompts or an honest use says the same words,
which is why each is worth little (design: a regex for reasoning elicitation is a useful weight and a bad block).
"""

import re
from collections.abc import Mapping

from modelfence.core.extraction import Prompt

LOOKED_AT = 1_500
"""Characters at each end of the system's text and of the user's last message."""

PHRASES: Mapping[str, re.Pattern[str]] = {
    # "Think step by step, and show your reasoning in full": Orca (arXiv 2306.02707), chain-of-thought distillation.
    "reasoning_elicitation": re.compile(
        r"(?:step[- ]by[- ]step|chain[- ]of[- ]thought|<think(?:ing)?>)[^\n]{0,120}\b(?:reason|think|explain|solution|answer|show)"
        r"|\b(?:show|write|explain|give|provide|output|include)\b[^\n]{0,40}\b(?:full|complete|detailed|entire|all)\b[^\n]{0,20}"
        r"\b(?:reasoning|thought process|chain of thought|derivation)"
    ),
    # "Rate the following response": a judge's labels for reward models (MT-Bench, arXiv 2306.05685; UltraFeedback).
    "judge_rubric": re.compile(
        r"\b(?:rate|score|grade|judge|evaluate|compare)\b[^\n]{0,60}\b(?:responses?|answers?|completions?|assistants?)\b"
        r"[\s\S]{0,400}\b(?:scale of|from 0|from 1|out of 10|rubric|criteria|which (?:is|one is) better)"
    ),
    # "Come up with a set of task instructions", "rewrite the given prompt": Self-Instruct (arXiv 2212.10560),
    # Evol-Instruct (arXiv 2304.12244), Magpie and their like.
    "generator_phrasing": re.compile(
        r"\b(?:come up with|generate|create|write|produce|design|brainstorm|invent)\b[^\n.]{0,60}\b(?:task instructions?"
        r"|instructions for|(?:new|diverse|synthetic|training|complex|different|challenging) (?:\w+ ){0,2}"
        r"(?:prompts?|instructions?|questions?|tasks?|examples?|problems?|dialogues?|conversations?|data)"
        r"|training (?:data|examples|samples|set)|dataset|(?:q&a|question[- ]answer|instruction[- ]response|input[- ]output) pairs)\b"
        r"|\b(?:rewrite|evolve|complicate|mutate|diversify)\b[^\n.]{0,40}\b(?:prompts?|instructions?)\b"
        r"|\bprompt (?:rewriter|creator|generator|writer)\b"
    ),
}
_FIELDS = (
    frozenset({"instruction", "input", "output"}), frozenset({"prompt", "completion"}), frozenset({"question", "answer"}),
    frozenset({"prompt", "chosen", "rejected"}), frozenset({"instruction", "response"}),
    frozenset({"reasoning", "answer"}), frozenset({"rationale", "answer"}), frozenset({"messages", "role", "content"}),
)  # fmt: skip
"""What the records of training sets hold: Alpaca, completions, preference pairs, chain of thought, chats."""
_NAMED = re.compile(r"[\"'`]([a-z_]{4,16})[\"'`]\s*:")
REQUEST_PHRASES = (*PHRASES, "training_schema")


def phrases_in(prompt: Prompt) -> tuple[str, ...]:
    """Return the names of the signals whose phrases stand in the system's text or the user's last message."""
    texts = [*prompt.system[:1], *prompt.user[-1:]]
    looked_at = "\n".join(part for text in texts for part in _ends(text)).lower()
    found = [name for name, pattern in PHRASES.items() if pattern.search(looked_at)]
    fields = {*(name.lower() for name in prompt.schema), *_NAMED.findall(looked_at)}
    if any(record <= fields for record in _FIELDS):
        found.append("training_schema")
    return tuple(found)


def _ends(text: str) -> tuple[str, ...]:
    return (text,) if len(text) <= 2 * LOOKED_AT else (text[:LOOKED_AT], text[-LOOKED_AT:])
