/* usage: node client.js grpc|ws|mcp - from within a sandbox; prints what came of each attempt. */
import path from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import WebSocket from "ws";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const say = (...words) => console.log(...words);

async function tryGrpc() {
	const proto = path.join(path.dirname(process.argv[1]), "echo.proto");
	const echo = grpc.loadPackageDefinition(loader.loadSync(proto)).echo;
	const client = new echo.Echo("grpc.test:443", grpc.credentials.createSsl());
	const metadata = new grpc.Metadata();
	const unary = (name, text, options = {}) => new Promise((done) => {
		let trailer = "";
		const call = client[name]({ text }, metadata, options,
			(e, word) => setImmediate(() => say(name, e ? `${grpc.status[e.code]} ${e.details}` : word.text, trailer)));

		call.on("status", (s) => {
			trailer = s.metadata.get("x-trailer")[0] ?? "";
			done(s);
		});
	});
	const words = (call) => new Promise((done) => {
		const got = [];

		call.on("data", (w) => got.push(w.text));
		call.on("error", (e) => done("error " + e.message));
		call.on("end", () => done(got.join(",")));
	});

	metadata.set("x-asks", "me");
	await unary("Unary", "hello");
	await unary("Unary", "x".repeat(300000).concat("END"));
	await unary("Fail", "x");
	await unary("Denied", "secret");
	await unary("Never", "x", { deadline: Date.now() + 300 });
	await new Promise((done) => {
		const call = client.Gather((e, word) => done(say("Gather", e ? e.message : word.text)));

		for (const text of ["a", "b", "c"])
			call.write({ text });
		call.end();
	});
	say("Scatter", await words(client.Scatter({ text: "xyz" })));
	const both = client.Both();
	const got = words(both);

	/* The second word is said when the first has come back: neither direction is held up. */
	both.once("data", () => {
		both.write({ text: "two" });
		both.end();
	});
	both.write({ text: "one" });
	say("Both", await got);
	client.close();
}

function socket(host, options, steps) {
	return new Promise((done) => {
		const ws = new WebSocket(`wss://${host}/chat`, options);
		const next = () => steps.shift()?.(ws);

		ws.on("open", () => next());
		ws.on("message", (data, isBinary) => {
			say(host, isBinary ? "binary" : "text", data.length > 99 ? data.length : data.toString());
			next();
		});
		ws.on("error", (e) => say(host, "error", e.message));
		ws.on("close", (code, reason) => done(say(host, "closed", code, reason.toString())));
	});
}

async function tryWs() {
	await socket("ws.test", {}, [
		(ws) => ws.send("hello"),
		(ws) => {
			ws.send("in ", { fin: false });
			ws.send("three ", { fin: false });
			ws.send("parts");
		},
		(ws) => ws.send("compressed ".repeat(5000)),
		(ws) => ws.send(Buffer.alloc(200000)),
		(ws) => ws.close(4001, "client ends"),
	]);
	await socket("ws.test", { perMessageDeflate: { clientNoContextTakeover: true, clientMaxWindowBits: false, threshold: 16 } },
		[(ws) => ws.send("packed ".repeat(4000)), (ws) => ws.close(4003)]);
	await socket("ws.test", { perMessageDeflate: false }, [(ws) => ws.send("plain"), (ws) => ws.send("end")]);
	await socket("wsro.test", {}, [(ws) => ws.send("secret")]);
	await socket("nowhere.test", {}, []);
}

async function tryMcp() {
	const client = new Client({ name: "test", version: "1" });
	const pushed = new Promise((done) => (client.fallbackNotificationHandler = async (n) => done(n.params?.data)));

	await client.connect(new StreamableHTTPClientTransport(new URL("https://mcp.test/mcp")));
	say("tools", (await client.listTools()).tools.map((t) => t.name).join(","));
	say("search", (await client.callTool({ name: "search", arguments: {} })).content[0].text);
	await client.callTool({ name: "delete", arguments: {} })
		.then(() => say("delete was done"), (e) => say("delete refused", e.message));
	say("receive stream", await Promise.race([pushed, new Promise((done) => setTimeout(done, 5000, "silent").unref())]));
	await client.close();
}

await { grpc: tryGrpc, ws: tryWs, mcp: tryMcp }[process.argv[2]]();
