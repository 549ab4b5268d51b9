"""Asks with the real Jina clients, and tells what came back as plain data.

Its argument is the generation of documents, 1 or 2. Reads one JSON object per line, {"ports": {...}, "ask": {...}},
and answers each with one line. What an ask may say stands at the functions of `VIA`; `tests/jina/cases` are asks.

Only what no two runs can have in common is left out: the stacks of exceptions, the values of times and of the ids
that the client makes up (whether they are there is told). Answers that may come in any order are told sorted.
"""

import asyncio
import http.client
import json
import os
import signal
import sys
import warnings

warnings.simplefilter("ignore")
# In uvloop an exception of a signal handler is lost, and with it the end of an ask that takes too long.
os.environ["JINA_DISABLE_UVLOOP"] = "1"
# Jina logs to standard output, which is for answers here.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import aiohttp  # noqa: E402
import grpc  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from jina import Client  # noqa: E402
from jina.proto import jina_pb2, jina_pb2_grpc  # noqa: E402, F401

GENERATION = int(sys.argv[1])
if GENERATION == 1:
    import documents_v1 as documents
else:
    import documents_v2 as documents

HOST = "127.0.0.1"
# Longest time of one ask, in seconds, and between reminders: inside a callback of the loop an exception is lost.
PATIENCE = 30
REMINDER = 2
# Documents of which an answer with `digest` tells all; of the others it tells how many and a checksum.
TOLD = 3

LOOP = asyncio.new_event_loop()
CLIENTS = {}


class Hung(Exception):
    """An ask that took too long."""


def short(failure: Exception) -> str:
    """What it says, without the stacks that Jina puts in there."""
    return str(failure).split("stacks:")[0][:1000]


# --- what came back -----------------------------------------------------------------------------------------------


def plain(message) -> dict:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def tell_status(status) -> dict:
    told = plain(status)
    if "exception" in told:
        told["exception"].pop("stacks", None)
    return told


def tell_route(route) -> dict:
    return {
        "executor": route.executor,
        "start": route.HasField("start_time"),
        "end": route.HasField("end_time"),
        "status": tell_status(route.status),
    }


def list_type(ask: dict):
    """The type of lists of the documents that are asked with."""
    return documents.DocList[documents.TYPES[ask.get("type", "Item")]]


def shortened(told: list, ask: dict):
    if not ask.get("digest"):
        return told
    import hashlib

    words = json.dumps(told, sort_keys=True).encode()
    return {"count": len(told), "first": told[:TOLD], "sha256": hashlib.sha256(words).hexdigest()}


def tell_message(message, ask: dict) -> dict:
    """A DataRequestProto as it is on the wire."""
    header = message.header
    content = plain(message.data)
    return {
        "request_id": bool(header.request_id),
        "exec_endpoint": header.exec_endpoint,
        "target_executor": header.target_executor,
        "status": tell_status(header.status),
        "routes": [tell_route(route) for route in message.routes],
        "parameters": plain(message.parameters),
        "wire": shortened([without_blanks(one) for one in content.get("docs", {}).get("docs", [])], ask),
    }


def without_blanks(told):
    """A typed document on the wire without the fields that are not set: a host that knows no types cannot tell which
    of them its client has declared. What the client makes of it is among `documents`, with all fields."""
    if GENERATION == 1:
        return told
    if isinstance(told, list):
        return [without_blanks(one) for one in told]
    if not isinstance(told, dict):
        return told
    told = {name: without_blanks(one) for name, one in told.items()}
    return {name: one for name, one in told.items() if one not in ({}, {"doc_array": {}})}


def tell_response(response, ask: dict) -> dict:
    told = tell_message(response.proto, ask)
    if ask.get("protocol", "grpc") == "http":
        told.pop("wire")  # the client made it up
    if GENERATION == 2:
        response.document_array_cls = list_type(ask)
    told["documents"] = shortened(documents.tell(response.docs), ask)
    return told


def in_some_order(told: list) -> list:
    return sorted(told, key=lambda one: json.dumps(one, sort_keys=True))


# --- the ways to ask ----------------------------------------------------------------------------------------------


def kind_of(ask: dict) -> list:
    return [documents.TYPES[ask["type"]]] if "type" in ask and GENERATION == 2 else []


def inputs_of(ask: dict):
    told = ask.get("documents")
    if "many" in ask:
        told = [
            {**ask["of"], "id": f"d{at}", "text": ask["of"].get("text", "").replace("{}", str(at))}
            for at in range(ask["many"])
        ]
    if told is None:
        return None
    built = documents.build_all(told, *kind_of(ask))
    if ask.get("as") == "generator":
        return lambda: (one for one in built)
    return built


def client_of(ask: dict, ports: dict, asyncio_: bool) -> Client:
    protocol = ask.get("protocol", "grpc")
    options = ask.get("client", {})
    key = (protocol, ports[protocol], asyncio_, json.dumps(options, sort_keys=True))
    if key not in CLIENTS:
        CLIENTS[key] = Client(protocol=protocol, host=HOST, port=ports[protocol], asyncio=asyncio_, **options)
    return CLIENTS[key]


def post_arguments(ask: dict, answers: list, events: list) -> dict:
    arguments = {"on": ask["endpoint"], "inputs": inputs_of(ask), "return_responses": True}
    for name in ("parameters", "target_executor", "request_size"):
        if name in ask:
            arguments[name] = ask[name]
    arguments.update(ask.get("options", {}))
    if "metadata" in arguments:
        arguments["metadata"] = tuple(tuple(pair) for pair in arguments["metadata"])
    if GENERATION == 2:
        arguments["return_type"] = list_type(ask)

    def callback(name):
        def called(response):
            events.append(name)
            if name != "always" or "done" not in ask["callbacks"]:
                answers.append(response)
            if ask.get("callback_raises") == name:
                raise RuntimeError("the callback will not")

        return called

    for name in ask.get("callbacks", ()):
        arguments[f"on_{name}"] = callback(name)
    return arguments


async def post_once(ask: dict, ports: dict, answers: list, events: list) -> None:
    client = client_of(ask, ports, True)
    async for response in client.post(**post_arguments(ask, answers, events)):
        if not ask.get("callbacks"):
            answers.append(response)


def post(ask: dict, ports: dict) -> dict:
    """jina.Client.post: protocol, endpoint, documents (or many, of), parameters, target_executor, request_size,
    type (of the documents), options (further arguments), client (arguments of the client), asyncio, callbacks, together (how many at once),
    in_order (the order of the answers is told), digest (of many documents a checksum is told)."""
    answers, events = [], []
    told = {}
    try:
        if ask.get("asyncio") or "together" in ask:
            many = [post_once(ask, ports, answers, events) for _ in range(ask.get("together", 1))]
            LOOP.run_until_complete(asyncio.gather(*many))
        else:
            returned = client_of(ask, ports, False).post(**post_arguments(ask, answers, events))
            answers.extend(returned or [])
    except (Exception, asyncio.CancelledError) as failure:
        if isinstance(failure, Hung):
            raise
        told["raised"] = type(failure).__name__
        told["words"] = short(failure)
    responses = [tell_response(response, ask) for response in answers]
    told["responses"] = responses if ask.get("in_order") else in_some_order(responses)
    if ask.get("callbacks"):
        told["events"] = events if ask.get("in_order") else sorted(events)
    return told


def ready(ask: dict, ports: dict) -> dict:
    """Client.is_flow_ready."""
    return {"ready": client_of(ask, ports, False).is_flow_ready()}


def profiling(ask: dict, ports: dict) -> dict:
    """Client.profiling: the names that it has a time for."""
    times = client_of(ask, ports, False).profiling(show_table=False)
    return {"names": sorted(times), "are_numbers": all(isinstance(time, (int, float)) for time in times.values())}


def stream_document(ask: dict, ports: dict) -> dict:
    """Client.stream_doc: endpoint, documents (the first is sent), parameters."""
    told, client = [], client_of(ask, ports, True)
    document = documents.build(ask["documents"][0])

    async def receive():
        stream = client.stream_doc(
            on=ask["endpoint"], inputs=document, parameters=ask.get("parameters"), return_type=documents.Item
        )
        async for one in stream:
            told.append(documents.tell(documents.EMPTY([one]))[0])

    answer = {"documents": told}
    try:
        LOOP.run_until_complete(receive())
    except (Exception, asyncio.CancelledError) as failure:
        if isinstance(failure, Hung):
            raise
        answer["raised"] = type(failure).__name__
        answer["words"] = short(failure)
    return answer


def plain_http(ask: dict, ports: dict) -> dict:
    """One HTTP request: method, path, body (JSON) or text, headers, only (keys of the answer that are told)."""
    connection = http.client.HTTPConnection(HOST, ports[ask.get("port", "http")], timeout=PATIENCE)
    headers = dict(ask.get("headers", {}))
    body = ask.get("text")
    if "body" in ask:
        body = json.dumps(ask["body"])
        headers.setdefault("content-type", "application/json")
    connection.request(ask.get("method", "POST"), ask["path"], body=body.encode() if body else None, headers=headers)
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    connection.close()
    told = {"status": response.status, "type": response.headers.get("content-type", "").replace(" ", "")}
    if response.headers.get("allow"):
        told["allow"] = response.headers["allow"]
    if ask.get("headers_told"):
        told["headers"] = {name: response.headers.get(name) for name in ask["headers_told"]}
    if "json" in told["type"]:
        told["body"] = without_times(json.loads(text))
        if "only" in ask and isinstance(told["body"], dict):
            told["body"] = {name: told["body"].get(name) for name in ask["only"]}
    elif "event-stream" in told["type"]:
        told["events"] = [event_of(event) for event in text.split("\r\n\r\n") if event]
    elif not ask.get("page"):
        told["body"] = text
    return told


def event_of(text: str) -> dict:
    """A server-sent event as Jina's client reads it; its lines end in CRLF."""
    told = dict(line.split(": ", 1) for line in text.split("\r\n"))
    if "data" in told:
        told["data"] = json.loads(told["data"])
    return told


VOLATILE = {"requestId": "an id", "request_id": "an id", "startTime": "a time", "start_time": "a time",
            "endTime": "a time", "end_time": "a time"}


def without_times(value):
    if isinstance(value, list):
        return [without_times(one) for one in value]
    if not isinstance(value, dict):
        return value
    told = {}
    for name, one in value.items():
        if name == "stacks":
            continue
        told[name] = VOLATILE[name] if name in VOLATILE and one else without_times(one)
    return told


def data_request(told: dict) -> jina_pb2.DataRequestProto:
    """The message that a case describes: the fields of the protocol, and `documents`."""
    fields = {name: value for name, value in told.items() if name != "documents"}
    message = json_format.ParseDict(fields, jina_pb2.DataRequestProto())
    if "documents" in told:
        message.data.docs.CopyFrom(documents.build_all(told["documents"]).to_protobuf())
    return message


def plain_websocket(ask: dict, ports: dict) -> dict:
    """A WebSocket by hand: path, subprotocol, frames ({json}, {text}, {hex}, {request}); every frame that comes back,
    sorted, and how it is closed. `until` is how many frames are waited for before the end is sent."""
    async def talk() -> dict:
        url = f"http://{HOST}:{ports['websocket']}{ask.get('path', '/')}"
        frames = []
        wanted = [ask["subprotocol"]] if "subprotocol" in ask else []
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url, protocols=wanted) as socket:
                for frame in ask.get("frames", ()):
                    if "json" in frame:
                        await socket.send_str(json.dumps(frame["json"]))
                    elif "text" in frame:
                        await socket.send_str(frame["text"])
                    elif "hex" in frame:
                        await socket.send_bytes(bytes.fromhex(frame["hex"]))
                    else:
                        await socket.send_bytes(data_request(frame["request"]).SerializeToString())
                async for message in socket:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        frames.append({"text": without_times(json.loads(message.data))})
                    elif message.type == aiohttp.WSMsgType.BINARY:
                        frames.append({"bytes": tell_message(jina_pb2.DataRequestProto.FromString(message.data), ask)})
                return {"frames": in_some_order(frames), "close": socket.close_code}

    return LOOP.run_until_complete(talk())


ANSWER_TYPES = {
    "data": jina_pb2.DataRequestProto,
    "status": jina_pb2.StatusProto,
    "info": jina_pb2.JinaInfoProto,
    "endpoints": jina_pb2.EndpointsProto,
}


def health(message: bytes) -> dict:
    from grpc_health.v1 import health_pb2

    return plain(health_pb2.HealthCheckResponse.FromString(message))


def tell_grpc(message: bytes, ask: dict) -> dict:
    kind = ask.get("answer", "data")
    if kind == "health":
        return health(message)
    parsed = ANSWER_TYPES[kind].FromString(message)
    if kind == "data":
        return tell_message(parsed, ask)
    if kind == "info":
        return {"jina": sorted(parsed.jina), "envs": sorted(parsed.envs)}
    if kind == "endpoints":
        return {"endpoints": sorted(parsed.endpoints), "write_endpoints": sorted(parsed.write_endpoints)}
    return tell_status(parsed)


def plain_grpc(ask: dict, ports: dict) -> dict:
    """One gRPC call by hand: method, message ({request} or {hex}), answer (the kind of message), stream."""
    raw = lambda message: message  # noqa: E731
    message = ask.get("message", {})
    if "hex" in message:
        payload = bytes.fromhex(message["hex"])
    elif "request" in message:
        payload = data_request(message["request"]).SerializeToString()
    elif "service" in message:
        from grpc_health.v1 import health_pb2

        payload = health_pb2.HealthCheckRequest(service=message["service"]).SerializeToString()
    else:
        payload = b""
    with grpc.insecure_channel(f"{HOST}:{ports['grpc']}") as channel:
        try:
            if ask.get("stream"):
                times = message.get("times", 1)
                call = channel.stream_stream(ask["method"], raw, raw)
                answers = list(call((payload for _ in range(times)), timeout=PATIENCE))
            else:
                answers = [channel.unary_unary(ask["method"], raw, raw)(payload, timeout=PATIENCE)]
        except grpc.RpcError as failure:
            return {"code": failure.code().name, "words": failure.details()}
    return {"code": "OK", "messages": in_some_order([tell_grpc(answer, ask) for answer in answers])}


def reflection(ask: dict, ports: dict) -> dict:
    """The services that reflection lists."""
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(f"{HOST}:{ports['grpc']}") as channel:
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        return {"services": sorted(services)}


VIA = {
    "client": post,
    "ready": ready,
    "profiling": profiling,
    "stream": stream_document,
    "http": plain_http,
    "websocket": plain_websocket,
    "grpc": plain_grpc,
    "reflection": reflection,
}


def answer_to(order: dict) -> dict:
    ask = order["ask"]
    # The clients look for it, and forget it after use.
    asyncio.set_event_loop(LOOP)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, REMINDER)
    try:
        return VIA[ask.get("via", "client")](ask, order["ports"])
    except Hung as failure:
        CLIENTS.clear()  # whatever they wait for, they must not go on waiting for it
        return {"raised": "Hung", "words": short(failure)}
    except (Exception, asyncio.CancelledError) as failure:
        return {"raised": type(failure).__name__, "words": short(failure)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def hung(*_):
    raise Hung("no answer in time")


def main() -> None:
    signal.signal(signal.SIGALRM, hung)
    for line in sys.stdin:
        ANSWERS.write(json.dumps(answer_to(json.loads(line))) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    main()
