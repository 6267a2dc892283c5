import { CustomResource, RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';

/**
 * The code of the function that makes the key while a stack is deployed. A key that the secret holds already is kept. The private half
 * is in no template, no log and no answer.
 *
 * @internal
 */
export const MAKE_KEY = `
const { createPrivateKey, createPublicKey, generateKeyPairSync } = require('node:crypto');
const { GetSecretValueCommand, PutSecretValueCommand, SecretsManagerClient } = require('@aws-sdk/client-secrets-manager');

const secrets = new SecretsManagerClient({});

async function publicKey(SecretId) {
  let pem = (await secrets.send(new GetSecretValueCommand({ SecretId }))).SecretString ?? '';
  if (!pem.includes('PRIVATE KEY')) {
    pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    await secrets.send(new PutSecretValueCommand({ SecretId, SecretString: pem }));
  }
  const { x } = createPublicKey(createPrivateKey(pem)).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('base64');
}

exports.handler = async (event) => {
  const { RequestType, ResponseURL, StackId, RequestId, LogicalResourceId, ResourceProperties } = event;
  const answer = { Status: 'SUCCESS', StackId, RequestId, LogicalResourceId, PhysicalResourceId: ResourceProperties.Secret };
  try {
    if (RequestType !== 'Delete') answer.Data = { PublicKey: await publicKey(ResourceProperties.Secret) };
  } catch (err) {
    Object.assign(answer, { Status: 'FAILED', Reason: err.name + ': the signing key cannot be read or made' });
  }
  // The URL is signed for a request without a type.
  const put = await fetch(ResponseURL, { method: 'PUT', headers: { 'content-type': '' }, body: JSON.stringify(answer) });
  if (!put.ok) throw new Error('CloudFormation has not taken the answer: ' + put.status);
};
`;

/**
 * An Ed25519 key with which the control plane signs its invocations, so that functions obey it alone. It is made once, when the stack is
 * deployed, and kept in a secret.
 */
export class SigningKey extends Construct {
  /** Holds the private half as PEM. */
  public readonly secret: secretsmanager.Secret;
  /** The public half, for LAMBDA_DISPATCH_PEER_PUBLIC_KEY of functions. */
  public readonly publicKey: string;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    this.secret = new secretsmanager.Secret(this, 'Secret', {
      description: 'Signs the invocations of Lambda Dispatch (Ed25519, PEM)', removalPolicy: RemovalPolicy.DESTROY,
    });
    const logGroup = new logs.LogGroup(this, 'Log', { retention: logs.RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY });
    const role = new iam.Role(this, 'Role', { assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com') });
    logGroup.grantWrite(role);
    const maker = new lambda.Function(this, 'Maker', {
      description: 'Makes the signing key of Lambda Dispatch, once', runtime: lambda.Runtime.NODEJS_24_X, handler: 'index.handler',
      code: lambda.Code.fromInline(MAKE_KEY), logGroup, role,
    });
    Validations.of(this.secret).acknowledge({
      id: 'AwsSolutions-SMG4', reason: 'A new key must reach the environments of the functions first, which a deployment does',
    });
    this.secret.grantRead(maker);
    this.secret.grantWrite(maker);
    const made = new CustomResource(this, 'Key', {
      serviceToken: maker.functionArn, resourceType: 'Custom::LambdaDispatchSigningKey', properties: { Secret: this.secret.secretArn },
    });
    made.node.addDependency(maker, role);
    this.publicKey = made.getAttString('PublicKey');
  }
}
