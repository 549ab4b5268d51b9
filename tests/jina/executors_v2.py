"""The executors of the suite for documents of the second generation; see `executors_v1.py`, its twin."""

import os
import time

import numpy
from docarray import DocList
from jina import Executor, requests
from jina import __version__ as jina_version

from documents_v2 import Found, Item, Leaf, Part

Items = DocList[Item]


class Parity(Executor):
    def __init__(self, mark: str = "mark", **kwargs):
        super().__init__(**kwargs)
        self.mark_ = mark

    @requests(on="/reverse")
    def reverse(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.text = document.text[::-1]
        return docs

    @requests(on="/trace")
    def trace(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.text = f"{document.text}>{self.mark_}"
        return docs

    @requests(on="/mark")
    def mark(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.tags[self.mark_] = True
        return docs

    @requests(on="/touch")
    def touch(self, docs: Items, **kwargs) -> Items:
        return docs

    @requests(on="/small")
    def small(self, docs: DocList[Leaf], **kwargs) -> DocList[Leaf]:
        """For many documents, which are cheap if their type has few fields."""
        return docs

    @requests(on="/branch")
    def branch(self, docs: Items, **kwargs) -> Items:
        """Each branch writes what no other branch writes, so that the order of arrival does not matter."""
        return self.one_part(docs, self.mark_ == "left")

    @requests(on="/shard")
    def shard(self, docs: Items, **kwargs) -> Items:
        """Each shard writes what no other shard writes."""
        return self.one_part(docs, self.runtime_args.shard_id == 0)

    def one_part(self, docs, is_first: bool):
        for document in docs:
            if is_first:
                document.embedding = numpy.array([1, 2, 3], dtype=numpy.float32)
            else:
                document.matches = DocList[Found]([Found(id=f"{document.id}-{self.mark_}", text=self.mark_)])
        return docs

    @requests(on="/own")
    def own(self, docs: Items, **kwargs) -> Items:
        """Each branch gives a document of its own besides those it got."""
        docs.append(Item(id=f"own-{self.mark_}", text=self.mark_))
        return docs

    @requests(on="/embed")
    def embed(self, docs: Items, **kwargs) -> Items:
        for row, document in enumerate(docs):
            document.embedding = numpy.array([len(document.text), row, 0.5], dtype=numpy.float32)
        return docs

    @requests(on="/chunk")
    def chunk(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.chunks = DocList[Part](
                [Part(id=f"{document.id}-{at}", text=word) for at, word in enumerate(document.text.split())]
            )
        return docs

    @requests(on="/match")
    def match(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            found = Found(id=f"{document.id}-found", text=document.text.upper())
            document.matches = DocList[Found]([found])
        return docs

    @requests(on="/raise")
    def fail(self, docs: Items, **kwargs) -> Items:
        raise ValueError(f"boom: {self.mark_}", 7)

    @requests(on="/raise-on-bad")
    def fail_on_bad(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.text = document.text.upper()
        if any(document.text == "BAD" for document in docs):
            raise ValueError("a bad document")
        return docs

    @requests(on="/sleep")
    def sleep(self, docs: Items, parameters, **kwargs) -> Items:
        time.sleep(parameters.get("milliseconds", 100.0) / 1000)
        return docs

    @requests(on="/sleep-by-text")
    def sleep_by_text(self, docs: Items, **kwargs) -> Items:
        time.sleep(float(docs[0].text) / 1000)
        return docs

    @requests(on="/die")
    def die(self, docs: Items, **kwargs) -> Items:
        os._exit(3)

    @requests(on="/parameters")
    def parameters(self, docs: Items, parameters, **kwargs) -> Items:
        for document in docs:
            document.tags[self.mark_] = dict(parameters)
        return docs

    @requests(on="/results")
    def results(self, docs: Items, **kwargs) -> Items:
        return {"count": len(docs)}

    @requests(on="/count")
    def count(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.text = str(len(docs))
        return docs

    @requests(on="/drop")
    def drop(self, docs: Items, **kwargs) -> Items:
        return Items([document for document in docs if document.text != "drop"])

    @requests(on="/empty")
    def empty(self, docs: Items, **kwargs) -> Items:
        return Items()

    @requests(on="/turn")
    def turn(self, docs: Items, **kwargs) -> Items:
        return Items(list(docs)[::-1])

    if jina_version >= "3.20":

        @requests(on="/words")
        async def words(self, doc: Item, parameters, **kwargs) -> Item:
            """A part of the text at a time."""
            for at, word in enumerate(doc.text.split()):
                yield Item(id=f"{doc.id}-{at}", text=word)

        @requests(on="/words-and-fail")
        async def words_and_fail(self, doc: Item, **kwargs) -> Item:
            for at, word in enumerate(doc.text.split()):
                yield Item(id=f"{doc.id}-{at}", text=word)
            raise ValueError("no more words")

    @requests(on="/inputs")
    def inputs(self, docs: Items, docs_matrix=None, **kwargs) -> Items:
        sizes = sorted(len(part) for part in docs_matrix) if docs_matrix else [len(docs)]
        for document in docs:
            document.tags["inputs"] = sizes
        return docs


class Fallback(Executor):
    def __init__(self, mark: str = "fallback", **kwargs):
        super().__init__(**kwargs)
        self.mark_ = mark

    @requests
    def default(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.text = f"{document.text}>{self.mark_}"
        return docs

    @requests(on="/only")
    def only(self, docs: Items, **kwargs) -> Items:
        for document in docs:
            document.text = f"{document.text}>only-{self.mark_}"
        return docs
