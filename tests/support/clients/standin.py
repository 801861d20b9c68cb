"""A TLS server on loopback that stands in for several services at once, by the name it is asked for.

usage: standin.py --ca FILE --log FILE --repo DIR NAME...

Prints the port it listens on. Makes its own CA (written to FILE) and one certificate for every NAME.
What it answers does not depend on the name: below /git/ git http-backend serves the repositories in
DIR, POST /graphql answers a GraphQL query, POST /mcp is an MCP server, GET /mcp its event stream,
anything else is {"ok": true}. Every request is one line in the log before it is answered:

	GET users.test /users/17
"""
import argparse, http.server, json, os, ssl, subprocess, sys, tempfile

opt = argparse.ArgumentParser()
for name in ("--ca", "--log", "--repo"):
    opt.add_argument(name, required=True)
opt.add_argument("names", nargs="+")
opt = opt.parse_args()


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificate(d):
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", d + "/ca.key", "-out", d + "/ca.crt", "-days", "2", "-subj", "/CN=stand-in CA %d" % os.getpid(),
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *key, "-keyout", d + "/key", "-out", d + "/csr", "-subj", "/CN=" + opt.names[0])
    with open(d + "/ext", "w") as f:
        f.write("subjectAltName=%s\nextendedKeyUsage=serverAuth\n" % ",".join("DNS:" + n for n in opt.names))
    openssl("x509", "-req", "-in", d + "/csr", "-CA", d + "/ca.crt", "-CAkey", d + "/ca.key", "-CAcreateserial", "-days", "2", "-extfile", d + "/ext", "-out", d + "/crt")
    with open(d + "/ca.crt") as f, open(opt.ca + ".new", "w") as to:
        to.write(f.read())
    os.rename(opt.ca + ".new", opt.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(d + "/crt", d + "/key")
    return context


def mcp(call):
    result = {"initialize": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}}
    return json.dumps({"jsonrpc": "2.0", "id": call.get("id"), "result": result.get(call["method"], {"content": []})}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body, kind="application/json", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while n := int(self.rfile.readline(), 16):
            data += self.rfile.read(n)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def git(self, path, query, body):
        env = dict(os.environ, GIT_PROJECT_ROOT=opt.repo, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query, REQUEST_METHOD=self.command,
                   CONTENT_TYPE=self.headers.get("Content-Type", ""), CONTENT_LENGTH=str(len(body)), GIT_PROTOCOL=self.headers.get("Git-Protocol", ""),
                   HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""), REMOTE_USER="somebody")
        out = subprocess.run(["git", "http-backend"], env=env, input=body, stdout=subprocess.PIPE).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.answer(rest, fields.get("Content-Type", "text/plain"), int(fields.get("Status", "200").split()[0]))

    def serve(self):
        path, _, query = self.path.partition("?")
        body = self.body()
        with open(opt.log, "a") as f:
            f.write("%s %s %s\n" % (self.command, self.headers.get("Host", "-"), path))
        if path.startswith("/git/"):
            self.git(path[4:], query, body)
        elif path == "/graphql" and self.command == "POST":
            self.answer(json.dumps({"data": {"asked": json.loads(body)["query"]}}).encode())
        elif path == "/mcp" and self.command == "POST":
            self.answer(mcp(json.loads(body)))
        elif path == "/mcp":
            self.answer(b"data: {}\n\n", "text/event-stream")
        else:
            self.answer(b'{"ok": true}')

    do_GET = do_POST = do_PUT = do_DELETE = serve


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with tempfile.TemporaryDirectory() as made:
    server.socket = certificate(made).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
