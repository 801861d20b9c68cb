#!/usr/bin/env python3
"""A stand-in for servers of models: model.py LOG [CERT KEY]. Prints its port; with a certificate it speaks TLS.

LOG gets one line of JSON for each request. What the last message says decides what is answered: "stream" sends
an event and the next one when somebody asks for /release; "cut" breaks off within a stream, "mute" never answers,
"bad" is answered 401 with the key in it, "length" streams with a Content-Length; all else is answered at once."""
import http.server, json, ssl, sys, threading

gate = threading.Semaphore(0)
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def note(self, body):
        with lock, open(sys.argv[1], "a") as log:
            log.write(json.dumps({"method": self.command, "path": self.path, "body": body,
                                  "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n")

    def answer(self, status, body, kind="application/json"):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Set-Cookie", "who=me")
        self.end_headers()
        self.wfile.write(data)

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk('data: {"n":1}\n\n')

    def do_GET(self):
        if self.path == "/release":
            gate.release()
            return self.answer(200, "{}")
        self.note("")
        if "refused" in json.dumps(dict(self.headers)):
            return self.answer(401, json.dumps({"error": dict(self.headers)}))
        self.answer(200, '{"data":[{"id":"m"}]}')

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self.note(body)
        try:
            said = json.loads(body)["messages"][-1]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            said = ""
        if said == "stream":
            self.begin_stream()
            gate.acquire()
            self.chunk('data: {"n":2}\n\n')
            self.chunk("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        elif said == "cut":
            self.begin_stream()
            self.wfile.write(b"20\r\ndata: {")
            self.wfile.flush()
            self.close_connection = True
        elif said == "length":
            self.answer(200, 'data: {"n":1}\n\n', "text/event-stream")
        elif said == "bad":
            self.answer(401, json.dumps({"error": dict(self.headers)}))
        elif said == "mute":
            gate.acquire()
            self.close_connection = True
        else:
            self.answer(200, json.dumps({"choices": [{"message": {"content": "hello"}}]}))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
