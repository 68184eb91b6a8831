// The C++ reference, as Bun has it inside: what is sent while a message is handled is corked, and a room is a topic.

const options = Object.fromEntries(
    process.argv.slice(2).flatMap((word, index, words) => (word.startsWith("--") ? [[word.slice(2), words[index + 1]]] : [])),
);

// Shared: one compressor for all, whose context is that of one message.
const compression = {
    "no-context": { compress: "shared", decompress: "shared" },
    takeover: { compress: "256KB", decompress: "32KB" },
};
const deflate = compression[options.deflate] ?? false;
const isDeflate = deflate !== false;

const server = Bun.serve({
    hostname: "127.0.0.1",
    port: Number(options.port ?? 0),
    fetch(request, server) {
        const { pathname } = new URL(request.url);
        const isKnown = pathname === "/echo" || pathname === "/chat";
        if (isKnown && server.upgrade(request, { data: pathname === "/chat" })) {
            return undefined;
        }
        return new Response("not found\n", { status: 404 });
    },
    websocket: {
        perMessageDeflate: deflate,
        maxPayloadLength: 16 * 1024 * 1024,
        // Nobody is dropped for being slow: what is measured must arrive.
        backpressureLimit: 1024 * 1024 * 1024,
        // No other server here has a timer for each connection.
        idleTimeout: 0,
        sendPings: false,
        open(socket) {
            if (socket.data) {
                socket.subscribe("chat");
            }
        },
        message(socket, message) {
            if (socket.data) {
                server.publish("chat", message, isDeflate);
            } else {
                socket.send(message, isDeflate);
            }
        },
    },
});

console.log(`listening on 127.0.0.1:${server.port}`);
