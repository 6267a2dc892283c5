// A plain Node HTTP server. Nothing in here knows about Lambda: the lambdapeer binary beside it does that part.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const port = Number(process.env.PORT ?? 8080);

// One process lives as long as its Lambda environment, so what is kept here lasts over many requests.
const environment = process.env.AWS_LAMBDA_LOG_STREAM_NAME ?? randomUUID();
let inFlight = 0;
let served = 0;

const routes = {
  '/': ready,
  '/hello': counted(hello),
  '/sleep': counted(slowly),
  '/echo': counted(echo),
  '/stream': counted(stream),
};

const server = createServer(async (request, response) => {
  const [path, query] = request.url.split('?');
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const route = routes[path] ?? notFound;
    await route(request, response, new URLSearchParams(query), gone.signal);
  } catch (error) {
    if (gone.signal.aborted) return; // the client left: nobody to tell
    const status = error instanceof RangeError ? 400 : 500;
    answer(response, status, { error: error.message });
  }
});

// The readiness check: lambdapeer sends no request before this answers.
function ready(request, response) {
  response.writeHead(204).end();
}

function hello(request, response) {
  answer(response, 200, { message: 'Hello from Node' });
}

async function slowly(request, response, query, gone) {
  const ms = whole(query, 'ms', { byDefault: 100, most: 60_000 });
  await sleep(ms, undefined, { signal: gone });
  answer(response, 200, { slept_ms: ms });
}

// The body goes back while it arrives: it may be larger than memory.
async function echo(request, response) {
  for (const header of ['content-type', 'content-length']) {
    if (request.headers[header]) response.setHeader(header, request.headers[header]);
  }
  request.pipe(response);
  await finished(response);
}

async function stream(request, response, query, gone) {
  const events = whole(query, 'n', { byDefault: 5, most: 1000 });
  const ms = whole(query, 'ms', { byDefault: 500, most: 60_000 });
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (let event = 1; event <= events; event++) {
    if (event > 1) await sleep(ms, undefined, { signal: gone });
    response.write(`data: ${JSON.stringify({ event, ...state() })}\n\n`);
  }
  response.end();
}

function notFound(request, response) {
  answer(response, 404, { error: `no such path, try one of ${Object.keys(routes).join(' ')}` });
}

// counted keeps the two counters around a route. A request is in flight until its answer has been sent.
function counted(route) {
  return async (request, response, ...rest) => {
    inFlight++;
    response.on('close', () => { inFlight--; served++; });
    await route(request, response, ...rest);
  };
}

function state() {
  return { language: 'node', environment, in_flight: inFlight, served };
}

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ ...body, ...state() }) + '\n');
}

function finished(response) {
  return new Promise((resolve) => response.on('close', resolve));
}

// whole reads a query parameter that must be a whole number from 0 to most.
function whole(query, name, { byDefault, most }) {
  const text = query.get(name) ?? String(byDefault);
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > most) {
    throw new RangeError(`${name}: must be a whole number from 0 to ${most}, got ${JSON.stringify(text)}`);
  }
  return value;
}

// On SIGTERM, answer what is in flight, then close the connections that wait for a next request.
process.on('SIGTERM', () => {
  server.close();
  setInterval(() => { if (inFlight === 0) server.closeAllConnections(); }, 100).unref();
});

server.listen(port, () => console.log(`listening on port ${server.address().port}`));
