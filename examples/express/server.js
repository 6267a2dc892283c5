// An Express app that listens on PORT. Nothing in it knows about Lambda but the freeze path, which is optional.
const express = require('express');

const app = express();
app.set('trust proxy', Number(process.env.TRUSTED_HOPS ?? 0) + 1); // lambdapeer's connection counts as the first
const pending = new Set(); // what goes on after answers

app.get('/', (request, response) => {
  response.json({ message: 'Hello from Express', scheme: request.protocol, client: request.ip });
});

app.post('/orders', (request, response) => {
  response.status(202).json({ accepted: true });
  const work = sendReceipt().finally(() => pending.delete(work));
  pending.add(work);
});

// Before Lambda freezes the environment lambdapeer asks, and waits for the answer: LAMBDA_DISPATCH_PEER_FREEZE_PATH=/freeze.
app.post('/freeze', async (request, response) => {
  if (request.get('lambda-dispatch-event') !== 'freeze') return response.sendStatus(404);
  await Promise.allSettled(pending);
  response.sendStatus(204);
});

async function sendReceipt() {
  await new Promise((resolve) => setTimeout(resolve, 100));
  console.log('receipt sent');
}

const server = app.listen(process.env.PORT ?? 8080);
process.on('SIGTERM', () => server.close());
