/*
 * usage: node servers.js KEY CERT LOG
 *
 * A gRPC server and an HTTPS server with WebSocket and MCP on it, on loopback. Prints both ports on one
 * line; what was asked of them goes to LOG, a line each.
 */
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { WebSocketServer } from "ws";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

const [key, cert] = process.argv.slice(2, 4).map((f) => fs.readFileSync(f));
const say = (...words) => fs.appendFileSync(process.argv[4], words.join(" ") + "\n");

const proto = path.join(import.meta.dirname ?? path.dirname(process.argv[1]), "echo.proto");
const echo = grpc.loadPackageDefinition(loader.loadSync(proto)).echo;

function upper(call) {
	return { text: call.request.text.toUpperCase() };
}

const methods = {
	Unary(call, done) {
		const trailers = new grpc.Metadata();

		say("grpc Unary", call.metadata.get("x-asks")[0]);
		trailers.set("x-trailer", "yes");
		done(null, upper(call), trailers);
	},
	Gather(call, done) {
		let text = "";

		call.on("data", (word) => (text += word.text));
		call.on("end", () => done(null, { text }));
	},
	Scatter(call) {
		for (const c of call.request.text)
			call.write({ text: c });
		call.end();
	},
	Both(call) {
		call.on("data", (word) => call.write({ text: word.text.toUpperCase() }));
		call.on("end", () => call.end());
	},
	Fail(call, done) {
		done({ code: grpc.status.FAILED_PRECONDITION, details: "as asked" });
	},
	Never(call) {
		say("grpc Never");
		call.on("cancelled", () => say("grpc Never cancelled"));
	},
	Denied(call, done) {
		say("grpc Denied");
		done(null, upper(call));
	},
};

function startGrpc(then) {
	const server = new grpc.Server();

	server.addService(echo.Echo.service, methods);
	server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: cert }]),
		(e, port) => then(port));
}

function mcp() {
	const server = new McpServer({ name: "test", version: "1" });

	for (const name of ["search", "delete"])
		server.tool(name, async () => {
			say("mcp", name);
			return { content: [{ type: "text", text: name + " done" }] };
		});
	return server;
}

const sessions = new Map();
const unasked = { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "pushed" } };

async function onMcp(req, res) {
	let transport = sessions.get(req.headers["mcp-session-id"]);

	if (!transport) {
		const server = mcp();

		transport = new StreamableHTTPServerTransport({
			sessionIdGenerator: () => crypto.randomUUID(),
			onsessioninitialized: (id) => sessions.set(id, transport),
		});
		await server.connect(transport);
	}
	/* A receive stream: whatever is sent before it is open is lost, so it is said until it ends. */
	if (req.method === "GET") {
		const push = setInterval(() => transport.send(unasked).catch(() => {}), 100);

		say("mcp stream");
		res.on("close", () => clearInterval(push));
	}
	await transport.handleRequest(req, res);
}

function onSocket(ws) {
	say("ws open", ws.extensions || "plain");
	ws.on("message", (data, isBinary) => {
		say("ws", isBinary ? "binary" : "text", data.length > 99 ? data.length : data.toString());
		if (data.toString() === "end")
			ws.close(4002, "server ends");
		else
			ws.send(data, { binary: isBinary });
	});
	ws.on("close", (code) => say("ws closed", code));
}

const web = https.createServer({ key, cert }, (req, res) => {
	onMcp(req, res).catch((e) => {
		say("mcp failed", e.message);
		res.destroy();
	});
});
new WebSocketServer({ server: web, perMessageDeflate: { threshold: 16 } }).on("connection", onSocket);
startGrpc((grpcPort) => web.listen(0, "127.0.0.1", () => console.log(grpcPort, web.address().port)));
