"""The executors of the suite for documents of the first generation.

`tests/fixtures/executors/parity` and `.../fallback` do the same inside Lockgate; change both together. Whatever is
made here has an id that follows from its origin, so that two runs can be compared.
"""

import os
import time

import numpy
from docarray import Document, DocumentArray
from jina import Executor, requests


class Parity(Executor):
    def __init__(self, mark: str = "mark", **kwargs):
        super().__init__(**kwargs)
        self.mark_ = mark

    @requests(on="/reverse")
    def reverse(self, docs, **kwargs):
        for document in docs:
            document.text = document.text[::-1]

    @requests(on="/trace")
    def trace(self, docs, **kwargs):
        for document in docs:
            document.text = f"{document.text}>{self.mark_}"

    @requests(on="/mark")
    def mark(self, docs, **kwargs):
        for document in docs:
            document.tags[self.mark_] = True

    @requests(on="/touch")
    def touch(self, docs, **kwargs):
        pass

    @requests(on="/small")
    def small(self, docs, **kwargs):
        """For many documents, which are cheap if their type has few fields."""
        pass

    @requests(on="/branch")
    def branch(self, docs, **kwargs):
        """Each branch writes what no other branch writes, so that the order of arrival does not matter."""
        return self.one_part(docs, self.mark_ == "left")

    @requests(on="/shard")
    def shard(self, docs, **kwargs):
        """Each shard writes what no other shard writes."""
        return self.one_part(docs, self.runtime_args.shard_id == 0)

    def one_part(self, docs, is_first: bool):
        for document in docs:
            if is_first:
                document.embedding = numpy.array([1, 2, 3], dtype=numpy.float32)
            else:
                document.matches = DocumentArray([Document(id=f"{document.id}-{self.mark_}", text=self.mark_)])
        return docs

    @requests(on="/own")
    def own(self, docs, **kwargs):
        """Each branch gives a document of its own besides those it got."""
        docs.append(Document(id=f"own-{self.mark_}", text=self.mark_))
        return docs

    @requests(on="/embed")
    def embed(self, docs, **kwargs):
        for row, document in enumerate(docs):
            document.embedding = numpy.array([len(document.text), row, 0.5], dtype=numpy.float32)

    @requests(on="/chunk")
    def chunk(self, docs, **kwargs):
        for document in docs:
            document.chunks = DocumentArray(
                [Document(id=f"{document.id}-{at}", text=word) for at, word in enumerate(document.text.split())]
            )

    @requests(on="/match")
    def match(self, docs, **kwargs):
        for document in docs:
            found = Document(id=f"{document.id}-found", text=document.text.upper())
            document.matches = DocumentArray([found])

    @requests(on="/raise")
    def fail(self, docs, **kwargs):
        raise ValueError(f"boom: {self.mark_}", 7)

    @requests(on="/raise-on-bad")
    def fail_on_bad(self, docs, **kwargs):
        for document in docs:
            document.text = document.text.upper()
        if any(document.text == "BAD" for document in docs):
            raise ValueError("a bad document")

    @requests(on="/sleep")
    def sleep(self, docs, parameters, **kwargs):
        time.sleep(parameters.get("milliseconds", 100.0) / 1000)

    @requests(on="/sleep-by-text")
    def sleep_by_text(self, docs, **kwargs):
        time.sleep(float(docs[0].text) / 1000)

    @requests(on="/die")
    def die(self, docs, **kwargs):
        os._exit(3)

    @requests(on="/parameters")
    def parameters(self, docs, parameters, **kwargs):
        for document in docs:
            document.tags[self.mark_] = dict(parameters)

    @requests(on="/results")
    def results(self, docs, **kwargs):
        return {"count": len(docs)}

    @requests(on="/count")
    def count(self, docs, **kwargs):
        for document in docs:
            document.text = str(len(docs))

    @requests(on="/drop")
    def drop(self, docs, **kwargs):
        return DocumentArray([document for document in docs if document.text != "drop"])

    @requests(on="/empty")
    def empty(self, docs, **kwargs):
        return DocumentArray()

    @requests(on="/turn")
    def turn(self, docs, **kwargs):
        return DocumentArray(list(docs)[::-1])

    @requests(on="/inputs")
    def inputs(self, docs, docs_matrix=None, **kwargs):
        sizes = sorted(len(part) for part in docs_matrix) if docs_matrix else [len(docs)]
        for document in docs:
            document.tags["inputs"] = sizes


class Fallback(Executor):
    def __init__(self, mark: str = "fallback", **kwargs):
        super().__init__(**kwargs)
        self.mark_ = mark

    @requests
    def default(self, docs, **kwargs):
        for document in docs:
            document.text = f"{document.text}>{self.mark_}"

    @requests(on="/only")
    def only(self, docs, **kwargs):
        for document in docs:
            document.text = f"{document.text}>only-{self.mark_}"
