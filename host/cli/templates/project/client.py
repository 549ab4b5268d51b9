"""Calls what is served with Jina's own client: pip install 'jina' 'docarray>=0.30'"""

from docarray import DocList
from docarray.documents import TextDoc
from jina import Client

client = Client(host="grpc://127.0.0.1:8080")
documents = DocList[TextDoc]([TextDoc(text="hello world")])
answer = client.post("/executor1", inputs=documents, return_type=DocList[TextDoc])
print(answer.text)
