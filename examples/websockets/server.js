// A WebSocket server with ws, on PORT: it sends each message back. GET / says that it is ready.
const http = require('http');
const { WebSocketServer } = require('ws');

const server = http.createServer((request, response) => response.end('Hello from a WebSocket server\n'));
const sockets = new WebSocketServer({ server, path: '/ws', maxPayload: 1 << 20 });

sockets.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('error', () => socket.terminate());
});

// Lambda ends an invocation after 15 minutes at most: clients are told to come back, and do so on another instance.
process.on('SIGTERM', () => {
  for (const socket of sockets.clients) socket.close(1012, 'service restart');
  server.close();
});

server.listen(process.env.PORT ?? 8080);
