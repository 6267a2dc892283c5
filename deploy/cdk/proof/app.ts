import { App } from 'aws-cdk-lib';
import { ProofStack } from './stack';

/** Reads a variable that the runner in deploy/proof sets. */
function said(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: this app is run by make aws-proof`);
  return value;
}

new ProofStack(new App(), 'LambdaDispatchProof', {
  build: said('PROOF_BUILD'), token: said('PROOF_TOKEN'), email: said('PROOF_EMAIL'), linger: said('PROOF_LINGER'), until: said('PROOF_UNTIL'),
  env: { region: said('CDK_DEFAULT_REGION') },
});
