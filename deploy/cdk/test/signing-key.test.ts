import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { createServer, IncomingMessage } from 'node:http';
import { AddressInfo } from 'node:net';
import test from 'node:test';
import { MAKE_KEY } from '../src/signing-key';

// As `lambda-dispatch key new` writes a key, and the public half that it prints.
const known = {
  pem: '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n',
  publicKey: 'A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=',
};

/** Runs the code that is in the template against a secret, and returns what CloudFormation is told. */
async function deploy(type: string, secret: { value: string; fails?: boolean }): Promise<{ answer: any; contentType: string | undefined }> {
  class Get { constructor(readonly input: any) {} }
  class Put { constructor(readonly input: any) {} }
  class Client {
    async send(command: Get | Put): Promise<any> {
      if (secret.fails) throw Object.assign(new Error(`the secret is ${secret.value}`), { name: 'AccessDeniedException' });
      if (command instanceof Put) secret.value = command.input.SecretString;
      return { SecretString: secret.value };
    }
  }
  const load = (name: string) => (name.startsWith('node:') ? require(name) : { GetSecretValueCommand: Get, PutSecretValueCommand: Put, SecretsManagerClient: Client });
  const module: any = {};
  new Function('require', 'exports', MAKE_KEY)(load, module);

  let request: IncomingMessage | undefined;
  let body = '';
  const server = createServer((r, w) => {
    request = r;
    r.on('data', (chunk) => (body += chunk)).on('end', () => w.end());
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  await module.handler({
    RequestType: type, ResponseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/answer`, StackId: 's', RequestId: 'r', LogicalResourceId: 'l',
    ResourceProperties: { Secret: 'arn:secret' },
  });
  await new Promise((closed) => server.close(closed));
  return { answer: JSON.parse(body), contentType: request?.headers['content-type'] };
}

test('a new secret gets a key, once', async () => {
  const secret = { value: 'what Secrets Manager made up' };
  const first = await deploy('Create', secret);
  assert.equal(first.answer.Status, 'SUCCESS');
  assert.equal(first.answer.PhysicalResourceId, 'arn:secret');
  const { x } = createPublicKey(createPrivateKey(secret.value)).export({ format: 'jwk' });
  assert.equal(first.answer.Data.PublicKey, Buffer.from(x!, 'base64url').toString('base64'));
  assert.ok(!first.contentType, 'the URL is signed without a type');
  const made = secret.value;
  assert.deepEqual((await deploy('Update', secret)).answer.Data, first.answer.Data);
  assert.equal(secret.value, made);
});

test('the public half is what the control plane prints', async () => {
  assert.equal((await deploy('Create', { value: known.pem })).answer.Data.PublicKey, known.publicKey);
});

test('the end of a stack changes no secret', async () => {
  const secret = { value: known.pem };
  const { answer } = await deploy('Delete', secret);
  assert.deepEqual([answer.Status, answer.Data, secret.value], ['SUCCESS', undefined, known.pem]);
});

test('a failure says what failed and shows no key', async () => {
  const { answer } = await deploy('Create', { value: known.pem, fails: true });
  assert.deepEqual([answer.Status, answer.Reason], ['FAILED', 'AccessDeniedException: the signing key cannot be read or made']);
});
