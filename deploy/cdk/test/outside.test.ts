// What others say of the result: the control plane and Envoy, cdk-nag, cfn-lint, and the README.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { Front, RelayNetwork } from '../src';
import { Changes, configuration, make } from './stack';

const layouts: { [name: string]: Changes } = {
  'the least': {},
  'a network load balancer': { dispatch: { front: Front.NETWORK, internetFacing: true } },
  'a public relay': { outsideOfVpc: true, dispatch: { relayNetwork: RelayNetwork.PUBLIC } },
  'an IPv6 relay': { dispatch: { relayNetwork: RelayNetwork.PUBLIC_IPV6 } },
};

const folder = mkdtempSync(join(tmpdir(), 'lambda-dispatch-cdk-'));
const has = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
const binary = process.env.LAMBDA_DISPATCH ?? '';
const key = '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n';

for (const [name, changes] of Object.entries(layouts)) {
  test(`${name}: the control plane accepts its configuration`, { skip: !existsSync(binary) && 'LAMBDA_DISPATCH names no binary' }, () => {
    const cfg = JSON.stringify(configuration(make(changes))).replaceAll('${AWS::Region}', 'eu-central-1').replaceAll('${Fn}', 'web');
    const out = execFileSync(binary, ['check', 'env:DISPATCH_CONFIGURATION'], {
      encoding: 'utf8', env: { PATH: process.env.PATH, DISPATCH_CONFIGURATION: cfg, DISPATCH_SIGNING_KEY: key },
    });
    assert.match(out, /the configuration is valid/);
    assert.doesNotMatch(out, /warning/);
  });
}

test('cfn-lint finds nothing in any layout', { skip: !has('cfn-lint') && 'no cfn-lint here' }, () => {
  const files = Object.entries(layouts).map(([name, changes]) => {
    const file = join(folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(make(changes).template().toJSON()));
    return file;
  });
  // W3005: dependencies that CDK writes down although a reference says them.
  const lint = spawnSync('cfn-lint', ['--ignore-checks', 'W3005', '--', ...files], { encoding: 'utf8' });
  assert.equal(lint.status, 0, lint.stdout + lint.stderr);
});

/** What cdk-nag finds below the construct: rule and construct. */
function findings(changes: Changes): string[] {
  const { app } = make(changes);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  const error = console.error;
  let text = '';
  console.error = (line: string) => (text += `${line}\n`); // CDK prints the report
  try {
    app.synth();
  } catch (err) {
    text += (err as Error).message;
  } finally {
    console.error = error;
  }
  const found = [...text.matchAll(/^ *Web\/Dispatch\/(\S+) .*\n *Acknowledge with 'AwsSolutions::AwsSolutions-(\w+)/gm)];
  return found.map(([, construct, rule]) => `${rule} ${construct}`).sort();
}

test('cdk-nag finds what is left to the reader, and nothing else', () => {
  assert.deepEqual(findings({}), [
    'EC23 FrontGroup/Resource', // it cannot read the VPC's addresses, which are the only ones that are let in
    'ELB2 Front/Resource', // access logs need a bucket: accessLogs
    'IAM5 Task/TaskRole/DefaultPolicy/Resource', // versions: the old one must be startable by its number while a new one is tried
  ]);
});

test('the README\'s snippet does what it says', () => {
  const { stack } = require('./readme.gen');
  const template = Template.fromStack(stack);
  template.resourceCountIs('AWS::ECS::Service', 1);
  template.hasResourceProperties('AWS::Lambda::Function', { PackageType: 'Image', Timeout: 900 });
});
