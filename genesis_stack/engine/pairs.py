"""A query with a document, as ranking models were trained to read them."""

from __future__ import annotations

from array import array

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.model import Model


def pair(model: Model, query: str, document: str) -> array[int]:
    """Token ids; by the model's own `rerank` template where its file has one, else with its separators."""
    template = model.template("rerank")
    if template is not None:
        before, _, rest = template.partition("{query}")
        between, _, after = rest.partition("{document}")
        tokens = array("i")
        for text, special in (
            (before, True),
            (query, False),
            (between, True),
            (document, False),
            (after, True),
        ):
            tokens += model.tokenize(text, add_special=False, parse_special=special)
        return tokens
    vocab = model.vocab
    end, separator = lib.llama_vocab_eos(vocab), lib.llama_vocab_sep(vocab)
    end = separator if end < 0 else end
    closing = [end] if lib.llama_vocab_get_add_eos(vocab) else []
    opening = [lib.llama_vocab_bos(vocab)] if lib.llama_vocab_get_add_bos(vocab) else []
    between_both = [separator] if lib.llama_vocab_get_add_sep(vocab) else []
    query_tokens = model.tokenize(query, add_special=False, parse_special=False)
    document_tokens = model.tokenize(document, add_special=False, parse_special=False)
    return array("i", [*opening, *query_tokens, *closing, *between_both, *document_tokens, *closing])
