"""Documents of the first generation: made from the plain data of a case, and told as plain data again."""

import base64

import numpy
from docarray import Document, DocumentArray
from docarray.score import NamedScore
from google.protobuf.json_format import MessageToDict

EMPTY = DocumentArray

# What a case may say of a document as it is; the others are made below.
PLAIN = ("id", "text", "uri", "tags", "weight", "mime_type", "modality", "location", "offset", "granularity",
         "adjacency", "parent_id")


def array(told: dict) -> numpy.ndarray:
    return numpy.array(told["values"], dtype=numpy.dtype(told["dtype"])).reshape(told["shape"])


def build(told: dict) -> Document:
    fields = {name: told[name] for name in PLAIN if name in told}
    for name in ("tensor", "embedding"):
        if name in told:
            fields[name] = array(told[name])
    if "blob" in told:
        fields["blob"] = base64.b64decode(told["blob"])
    for name in ("scores", "evaluations"):
        if name in told:
            fields[name] = {key: NamedScore(**score) for key, score in told[name].items()}
    document = Document(**fields)
    for name in ("chunks", "matches"):
        if name in told:
            # Not by the constructor, which would number the levels itself.
            setattr(document, name, DocumentArray([build(one) for one in told[name]]))
    return document


def build_all(told: list) -> DocumentArray:
    return DocumentArray([build(one) for one in told])


def tell(documents: DocumentArray) -> list:
    return MessageToDict(documents.to_protobuf(), preserving_proto_field_name=True).get("docs", [])
