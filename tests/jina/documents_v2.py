"""Documents of the second generation: the types of the suite, made from the plain data of a case and told again."""

import base64
from typing import Any, Dict, List, Optional

import numpy
from docarray import BaseDoc, DocList
from docarray.typing import AnyUrl, NdArray
from google.protobuf.json_format import MessageToDict


class Leaf(BaseDoc):
    text: str = ""
    tags: Dict[str, Any] = {}


class Part(BaseDoc):
    text: str = ""
    rank: int = 0
    leaves: DocList[Leaf] = DocList[Leaf]()


class Found(BaseDoc):
    text: str = ""
    rank: int = 0


class Side(BaseDoc):
    text: str = ""
    rank: int = 0
    embedding: Optional[NdArray] = None


# Each nested type stands in one place only: Jina 3.34 cannot describe a type with two lists of the same type.
class Item(BaseDoc):
    text: str = ""
    number: Optional[int] = None
    ratio: Optional[float] = None
    flag: Optional[bool] = None
    words: Optional[List[str]] = None
    tags: Dict[str, Any] = {}
    blob: Optional[bytes] = None
    uri: Optional[AnyUrl] = None
    tensor: Optional[NdArray] = None
    embedding: Optional[NdArray] = None
    side: Optional[Side] = None
    chunks: DocList[Part] = DocList[Part]()
    matches: DocList[Found] = DocList[Found]()


EMPTY = DocList[Item]
TYPES = {"Item": Item, "Leaf": Leaf}


def array(told: dict) -> numpy.ndarray:
    return numpy.array(told["values"], dtype=numpy.dtype(told["dtype"])).reshape(told["shape"])


def build(told: dict, kind=Item) -> BaseDoc:
    fields = dict(told)
    for name in ("tensor", "embedding"):
        if name in fields:
            fields[name] = array(fields[name])
    if "blob" in fields:
        fields["blob"] = base64.b64decode(fields["blob"])
    if "side" in fields:
        fields["side"] = build(fields["side"], Side)
    for name, inner in (("chunks", Part), ("matches", Found), ("leaves", Leaf)):
        if name in fields:
            fields[name] = DocList[inner]([build(one, inner) for one in fields[name]])
    return kind(**fields)


def build_all(told: list, kind=Item) -> DocList:
    return DocList[kind]([build(one, kind) for one in told])


def tell(documents: DocList) -> list:
    told = MessageToDict(documents.to_protobuf(), preserving_proto_field_name=True).get("docs", [])
    return [document.get("data", {}) for document in told]
