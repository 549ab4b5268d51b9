"""Sends text documents with the real Jina client and prints what came back as one line of JSON.

Its only argument is a JSON object: protocol, port, endpoint, texts, parameters.
"""

import json
import sys

from docarray import Document, DocumentArray
from jina import Client


def main() -> None:
    request = json.loads(sys.argv[1])
    client = Client(protocol=request["protocol"], host="127.0.0.1", port=request["port"])
    answers = []
    failures = []
    ready = client.is_flow_ready()
    try:
        client.post(
            request["endpoint"],
            inputs=DocumentArray([Document(text=text) for text in request["texts"]]),
            parameters=request["parameters"],
            on_done=answers.append,
            on_error=failures.append,
        )
    except Exception as failure:  # told, and judged by the test
        print(json.dumps({"ready": ready, "raised": repr(failure)}))
        return
    response = (answers or failures)[0]
    status = response.header.status
    print(
        json.dumps(
            {
                "ready": ready,
                "failed": bool(failures),
                "texts": [document.text for document in response.docs],
                "executors": [route.executor for route in response.routes],
                "parameters": dict(response.parameters),
                "description": status.description if status else "",
            }
        )
    )


if __name__ == "__main__":
    main()
